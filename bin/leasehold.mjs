#!/usr/bin/env node
// tsx as this package has it: the working folder may have none.
import "tsx";

await import("../cli.ts");
