import { writeFileSync } from "node:fs";
import { Checkout as Copy } from "../../bench/checkout";
import type { EnvironmentInput } from "../../config/schema/schema";

/** A copy of the project whose config is a test's. */
export class Checkout extends Copy {
  configure(input: EnvironmentInput): void {
    const text = `export default ${JSON.stringify({ ...input, name: this.environment })};\n`;
    writeFileSync(this.path("config", `${this.environment}.ts`), text);
  }
}
