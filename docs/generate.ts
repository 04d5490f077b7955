import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { DOCUMENTS } from "./generate/documents";

for (const [file, make] of Object.entries(DOCUMENTS)) writeFileSync(join(__dirname, file), make());
