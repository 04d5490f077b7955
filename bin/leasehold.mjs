#!/usr/bin/env node
import { fileURLToPath } from "node:url";

// tsx and its settings are this package's: the working folder may have none, or paths that name other code.
process.env.TSX_TSCONFIG_PATH = fileURLToPath(new URL("../tsconfig.json", import.meta.url));
await import("tsx");
await import("../cli.ts");
