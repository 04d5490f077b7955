import { join } from "node:path";
import { readFileSync, writeFileSync } from "node:fs";
import { Deployment } from "./test/support/deployment";
import { dump, goldenFile } from "./test/golden/golden";
import { environment, run } from "./test/e2e/terraform";
// golden.ts OUT major:env …   real Terraform on servers of this run; OUT "-" compares alone
async function main() {
  const [out, ...jobs] = process.argv.slice(2);
  for (const job of jobs) {
    const [major, env] = job.split(":");
    const start = Date.now();
    const d = await Deployment.start({ env, apply: false, postgresMajor: Number(major) as never });
    try {
      for (const stack of ["postgres", "vault"]) {
        const cwd = join(d.synthesized, "stacks", stack);
        for (const args of [["init", "-no-color"], ["apply", "-no-color", "-auto-approve"]]) {
          const { code, output } = await run("terraform", args, { cwd, env: { ...environment(d, "operator"), PGOPTIONS: "-c search_path=pg_catalog" } });
          if (code !== 0) throw new Error(`${job} ${stack} ${args[0]}: ${output}`);
        }
      }
      const text = `${JSON.stringify(await dump(d), undefined, 1)}\n`;
      const file = goldenFile(d);
      const same = readFileSync(file, "utf8") === text;
      if (out !== "-") writeFileSync(file, text);
      console.log(`${job}: ${same ? "as before" : "differs"}, ${((Date.now() - start) / 1000).toFixed(1)} s`);
    } catch (e) { console.log(`${job} FAILED ${(e as Error).message}`); process.exitCode = 1; } finally { await d.stop(); }
  }
}
void main();
