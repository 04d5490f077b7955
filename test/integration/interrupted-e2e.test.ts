import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeRun } from "../e2e/one-run";
import { processesWith } from "../support/program";

/** Ignores what a terminal's Ctrl-C or a polite end sends, has a child that does too, and says when both are up. */
const STUBBORN = `
  for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT"]) process.on(signal, () => undefined);
  setInterval(() => undefined, 1000);
  if (process.argv[1] !== "child")
    require("node:child_process")
      .spawn(process.execPath, ["-e", process.env.PROGRAM, "child"], { detached: true, stdio: ["ignore", "inherit", "ignore"] });
  else console.log("up");
`;

test("an interrupted e2e leaves no process and no folder with keys, whatever its processes ignore", async () => {
  const folder = mkdtempSync(join(tmpdir(), "leasehold-e2e-"));
  const bystander = mkdtempSync(join(tmpdir(), "leasehold-e2e-"));
  writeFileSync(join(folder, "unseal-keys"), "a key");
  const start = async (of: string) => {
    const program = spawn(process.execPath, ["-e", STUBBORN], {
      detached: true,
      stdio: ["ignore", "pipe", "ignore"],
      env: { PATH: process.env["PATH"], TMPDIR: of, PROGRAM: STUBBORN },
    });
    await once(program.stdout, "data");
    program.stdout.destroy();
    program.unref();
  };
  await start(folder);
  await start(bystander);
  expect(processesWith(folder)).toHaveLength(2);
  await removeRun("leasehold-e2e-of-a-test", folder);
  expect(processesWith(folder)).toEqual([]);
  expect(existsSync(folder)).toBe(false);
  // Another run's is left alone.
  expect(processesWith(bystander)).toHaveLength(2);
  await removeRun("leasehold-e2e-of-a-test", bystander);
  expect(processesWith(bystander)).toEqual([]);
});
