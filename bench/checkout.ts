import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { SetupError } from "../clients/setup-error";
import { ROOT } from "../ops/deployment/synthesize";

const PARTS = [
  ...["cli.ts", "main.ts", "cdktf.json", "package.json", "tsconfig.json"],
  ...[
    "access",
    "bench",
    "bin",
    "clients",
    "config",
    "constructs",
    "examples",
    "manifest",
    "ops",
    "sandbox",
    "sql",
  ],
  ...["stacks", "verify"],
];

/** A copy of the project, as somebody's clone: its configs, cdktf.out, state files and home folder are its own. */
export class Checkout {
  readonly folder = mkdtempSync(join(tmpdir(), "leasehold-checkout-"));
  readonly home = join(this.folder, "home");

  constructor(readonly environment: string) {
    for (const part of PARTS) cpSync(join(ROOT, part), join(this.folder, part), { recursive: true });
    symlinkSync(join(ROOT, "node_modules"), join(this.folder, "node_modules"));
    mkdirSync(this.home, { mode: 0o700 });
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  /** What a shell in it has: no variable of the program that made it but those of the machine. */
  env(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    return {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      XDG_CONFIG_HOME: this.home,
      LEASEHOLD_ENV: this.environment,
      CHECKPOINT_DISABLE: "1",
      ...more,
    };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * As `main.ts` does it for an environment that is not in config/.
 * @param config the text of its file, beside config/'s own
 */
export async function synthesizeConfig(name: string, config: string, outdir: string): Promise<void> {
  const checkout = new Checkout(name);
  try {
    writeFileSync(checkout.path("config", `${name}.ts`), config);
    const { exitCode, stderr } = await execa(process.execPath, ["--import", "tsx", "main.ts"], {
      ...{ cwd: checkout.folder, env: checkout.env({ CDKTF_OUTDIR: outdir }), reject: false },
    });
    if (exitCode !== 0) throw new SetupError(stderr);
  } finally {
    checkout.remove();
  }
}
