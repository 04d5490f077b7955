import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { SetupError } from "../../clients/setup-error";
import { OutputFile } from "./output-file";
import { parsePlan, type PlannedChanges } from "./planned-changes";
import { backupOf, keep } from "./state-file";

/** What an apply or a destroy came to. */
export interface Changes {
  readonly add: number;
  readonly change: number;
  readonly remove: number;
}

export function changesText({ add, change, remove }: Changes): string {
  if (add + change + remove === 0) return "nothing to do";
  return `${String(add)} added, ${String(change)} changed, ${String(remove)} removed`;
}

/** What Terraform would do. */
export interface Plan {
  readonly hasChanges: boolean;
  /** For people. */
  readonly text: string;
  /** Such as `1 to add, 0 to change, 2 to destroy`; undefined where nothing is any of these. */
  readonly counts?: string;
  /** Addresses of resources that make way for another, or for none. */
  readonly going: readonly string[];
}

export interface Diagnostic {
  readonly severity: "error" | "warning";
  readonly summary: string;
  readonly detail: string;
  /** Of the resource, where it is one's. */
  readonly address?: string;
}

/** Terraform ended with errors. The message is Terraform's own text, once where it is the same for several resources. */
export class TerraformError extends Error {
  override readonly name = "TerraformError";
  constructor(readonly diagnostics: readonly Diagnostic[]) {
    const texts = new Set(diagnostics.map(diagnosticText));
    const lines = [...texts].map((text) => {
      const [first, ...others] = diagnostics.filter((diagnostic) => diagnosticText(diagnostic) === text);
      const also = others.length > 0 ? ` (and ${String(others.length)} more)` : "";
      return first!.address ? `${first!.address}${also}: ${text}` : text;
    });
    super(lines.join("\n"));
  }
}

/** The command was interrupted; the message says what to do next. */
export class TerraformInterrupted extends Error {
  override readonly name = "TerraformInterrupted";
}

/** A stack's JSON, as far as Terraform is run with it. */
export interface TerraformBlock {
  readonly backend: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly required_providers: Readonly<
    Record<string, { readonly source: string; readonly version: string }>
  >;
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A message of Terraform's (https://developer.hashicorp.com/terraform/internals/machine-readable-ui). */
interface Message {
  readonly type?: string;
  readonly diagnostic?: Diagnostic;
  readonly changes?: Changes & { readonly operation: string };
  readonly change?: { readonly action: string; readonly resource: { readonly addr: string } };
  readonly hook?: { readonly resource?: { readonly addr: string } };
}

const WANTED = [1, 11] as const;
/** How often its output is looked at. */
const FOLLOW_MILLISECONDS = 100;
/** Waits for one that is about to end, such as the orphan of a killed command. */
const LOCK_TIMEOUT = "-lock-timeout=10s";

/**
 * For the provider's sessions: a superuser's own search path begins with the schema of its name, which somebody who may
 * create a schema could make, and the provider's queries, a plan's too, name functions without their schema.
 */
export function providerPgOptions(): string {
  return [process.env["PGOPTIONS"], "-c search_path=pg_catalog"].filter(Boolean).join(" ");
}

/** Terraform, run in the folder of one stack. */
export class Terraform {
  /** @throws SetupError when there is no Terraform that knows write-only arguments */
  static async check(): Promise<void> {
    const workspace = process.env["TF_WORKSPACE"];
    if (workspace && workspace !== "default")
      throw new SetupError(
        `TF_WORKSPACE is set to ${workspace}, and an environment has one state: unset it, and name another environment with --env`,
      );
    const remedy = `install Terraform ${WANTED.join(".")} or later (https://developer.hashicorp.com/terraform/install)`;
    let version: string;
    try {
      const { stdout } = await run(["version", "-json"], { cwd: process.cwd(), env: process.env });
      version = (JSON.parse(stdout) as { terraform_version: string }).terraform_version;
    } catch {
      throw new SetupError(`there is no terraform on PATH: ${remedy}`);
    }
    const [major, minor] = version.split(".").map(Number) as [number, number];
    if (major < WANTED[0] || (major === WANTED[0] && minor < WANTED[1]))
      throw new SetupError(`terraform is ${version}, which has no write-only arguments: ${remedy}`);
  }

  constructor(
    readonly folder: string,
    /** Variables and tokens, beside this program's environment. */
    private readonly env: NodeJS.ProcessEnv,
    private readonly signal: AbortSignal,
    /** Of a local state. */
    private readonly stateFile?: string,
    /** Called when the state may have changed. */
    private readonly onStateChange: () => unknown = () => undefined,
  ) {
    // Else Terraform makes a new file each time.
    this.backup = stateFile === undefined ? [] : [`-backup=${backupOf(stateFile)}`];
  }

  private readonly backup: readonly string[];

  /**
   * Installs the providers and chooses the backend, where that is not done. What another environment left in the folder
   * is replaced, never migrated.
   * @throws SetupError with Terraform's reason
   */
  async init(block: TerraformBlock): Promise<void> {
    if (this.isInitialised(block)) return;
    const { code, stderr } = await this.run(["init", "-input=false", "-no-color", "-reconfigure"]);
    if (code === 0) return;
    const { message } = new TerraformError(plainErrors(stderr));
    if (/provider (package|registry)/i.test(message))
      throw new SetupError(
        `${message}; it comes from the Terraform registry or from a mirror (docs/air-gapped.md)`,
      );
    throw new SetupError(backendText(block, message));
  }

  private isInitialised(block: TerraformBlock): boolean {
    return (
      isBackendOf(this.folder, block) &&
      existsSync(join(this.folder, ".terraform.lock.hcl")) &&
      Object.values(block.required_providers).every(({ source, version }) =>
        existsSync(join(this.folder, ".terraform/providers/registry.terraform.io", source, version)),
      )
    );
  }

  /**
   * A plan for people to read. Takes no lock: a planner may not write.
   * @param out the file that it is saved in. @default - none
   * @throws TerraformError
   */
  async plan({
    refresh,
    color,
    out,
    onProgress,
  }: {
    refresh: boolean;
    color: boolean;
    out?: string;
    onProgress: (text: string) => void;
  }): Promise<Plan> {
    const args = ["plan", "-input=false", "-detailed-exitcode", "-lock=false", `-refresh=${String(refresh)}`];
    if (!color) args.push("-no-color");
    if (out !== undefined) args.push(`-out=${out}`);
    const { code, stdout, stderr } = await this.run(args, (line) => {
      const refreshed = /^\S*?([a-z_]+\.[\w-]+): Refreshing state/.exec(line)?.[1];
      if (refreshed) onProgress(refreshed);
    });
    if (code !== 0 && code !== 2) throw new TerraformError(plainErrors(stderr));
    const text = planText(stdout);
    return { hasChanges: code === 2, text, ...planned(text) };
  }

  /** What a saved plan would change. */
  async plannedChanges(file: string): Promise<PlannedChanges> {
    return parsePlan(await this.expect(["show", "-json", file]));
  }

  /**
   * @param onReplace called with each resource that is about to be replaced, unless a saved plan is applied
   * @param saved the file of a plan. @default - what is declared
   * @throws TerraformError, TerraformInterrupted; SetupError where the saved plan is stale
   */
  apply(
    onProgress: (text: string) => void,
    onReplace?: (address: string) => void,
    saved?: string,
  ): Promise<Changes> {
    return this.change(["apply"], onProgress, onReplace, saved);
  }

  /** @throws TerraformError, TerraformInterrupted */
  destroy(onProgress: (text: string) => void): Promise<Changes> {
    return this.change(["destroy"], onProgress);
  }

  private change(...args: Parameters<Terraform["changeWith"]>): Promise<Changes> {
    return this.writingState(() => this.changeWith(...args));
  }

  private async writingState<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } finally {
      this.onStateChange();
    }
  }

  private async changeWith(
    command: readonly string[],
    onProgress: (text: string) => void,
    onReplace?: (address: string) => void,
    saved?: string,
  ): Promise<Changes> {
    const diagnostics: Diagnostic[] = [];
    let changes: Changes = { add: 0, change: 0, remove: 0 };
    let done = 0;
    if (this.stateFile !== undefined) keep(this.stateFile);
    const args = [
      ...command,
      "-json",
      "-auto-approve",
      "-input=false",
      LOCK_TIMEOUT,
      ...(saved === undefined ? [] : [saved]),
    ];
    const { code, stderr } = await this.run(args, (line) => {
      const message = parse(line);
      if (message?.diagnostic?.severity === "error") diagnostics.push(message.diagnostic);
      if (message?.changes) changes = message.changes;
      if (message?.type === "planned_change" && message.change?.action === "replace")
        onReplace?.(message.change.resource.addr);
      const address = message?.hook?.resource?.addr;
      if (message?.type === "apply_complete") done += 1;
      if (address && (message.type === "apply_start" || message.type === "refresh_start")) {
        const total = changes.add + changes.change + changes.remove;
        // Of a saved plan it says no total.
        const isCounted = message.type === "apply_start" && total > 0;
        onProgress(isCounted ? `${String(done)} of ${String(total)}: ${address}` : address);
      }
    });
    if (this.signal.aborted)
      throw new TerraformInterrupted(
        "interrupted: Terraform has saved its state; run the same command again to continue, or to be told what to import",
      );
    if (diagnostics.some(({ summary }) => summary === "Saved plan is stale"))
      throw new SetupError("the state has changed since the plan was made: run the command again");
    if (code !== 0) {
      const found = diagnostics.length > 0 ? diagnostics : plainErrors(stderr);
      const remedy = `its state is in ${this.errored}: the next npx leasehold deploy or destroy saves it where it belongs`;
      throw new TerraformError(
        existsSync(this.errored) ? [...found, { severity: "error", summary: remedy, detail: "" }] : found,
      );
    }
    return changes;
  }

  /** The state's text; empty where there is none yet. */
  async pullState(): Promise<string> {
    return (await this.expect(["state", "pull"])).trim();
  }

  /** Saves where it belongs the state that an earlier run could not, since its backend was gone. */
  async saveErrored(): Promise<void> {
    if (!existsSync(this.errored)) return;
    await this.writingState(() => this.expect(["state", "push", LOCK_TIMEOUT, this.errored]));
    rmSync(this.errored);
  }

  /** Where Terraform puts a state that it can't save. */
  private get errored(): string {
    return join(this.folder, "errored.tfstate");
  }

  /** Takes resources out of the state; they stay where they are. */
  async forget(addresses: readonly string[]): Promise<void> {
    const args = ["state", "rm", ...this.backup, LOCK_TIMEOUT, ...addresses];
    if (addresses.length > 0) await this.writingState(() => this.expect(args));
  }

  /** Takes a resource that exists already into the state. */
  async import(address: string, id: string): Promise<void> {
    const args = ["import", "-input=false", "-no-color", ...this.backup, LOCK_TIMEOUT, address, id];
    await this.writingState(() => this.expect(args));
  }

  private async expect(args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0) throw new TerraformError(plainErrors(stderr));
    return stdout;
  }

  private run(args: readonly string[], onLine?: (line: string) => void): Promise<Ended> {
    return run(args, { cwd: this.folder, env: this.env, signal: this.signal, onLine });
  }
}

/** What the servers of the stacks say may look the same. */
export function backendText({ backend }: TerraformBlock, message: string): string {
  const [type] = Object.keys(backend);
  return type === "local"
    ? message
    : `the state's backend ${type!} can't be used: ${message} (docs/remote-state.md)`;
}

/** Whether a folder is initialised for the backend that the stack has now. */
export function isBackendOf(folder: string, { backend }: TerraformBlock): boolean {
  const recorded = readJson(join(folder, ".terraform/terraform.tfstate")) as
    { backend?: { type: string; config: Record<string, unknown> } } | undefined;
  const [type, wanted] = Object.entries(backend)[0]!;
  if (recorded?.backend?.type !== type) return false;
  return isSame(recorded.backend.config, wanted);
}

/** What is not set is null in what Terraform records, inside of an object too. */
function isSame(recorded: unknown, wanted: unknown): boolean {
  if (typeof wanted !== "object" || typeof recorded !== "object") return (recorded ?? undefined) === wanted;
  const [one, other] = [recorded, wanted] as Record<string, unknown>[];
  return Object.keys({ ...one, ...other }).every((key) => isSame(one?.[key], other?.[key]));
}

interface RunOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
  readonly onLine?: (line: string) => void;
}

/**
 * Runs Terraform to its end. Interrupted, it is asked once to stop, after which it ends what it is at and saves its state.
 */
async function run(args: readonly string[], { cwd, env, signal, onLine }: RunOptions): Promise<Ended> {
  signal?.throwIfAborted();
  const stdout = new OutputFile();
  const stderr = new OutputFile();
  // State and plan files are its owner's alone.
  const umask = process.umask(0o077);
  const child = spawn("terraform", args, {
    cwd,
    env: {
      ...process.env,
      ...env,
      // No lock is waited for without a bound: leased logins can hold some.
      PGOPTIONS: `${providerPgOptions()} -c lock_timeout=60s`,
      // Its folder is known here by its own name, and each stack has one.
      TF_DATA_DIR: undefined,
      ...{ TF_INPUT: "0", TF_IN_AUTOMATION: "1", CHECKPOINT_DISABLE: "1" },
    },
    // Out of the reach of the terminal's Ctrl-C: two interrupts would make it drop its state.
    detached: true,
    stdio: ["ignore", stdout.descriptor, stderr.descriptor],
  });
  process.umask(umask);
  const interrupt = () => child.kill("SIGINT");
  // A second signal ends this program, and Terraform with its providers.
  const kill = () => {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  };
  signal?.addEventListener("abort", interrupt);
  process.once("exit", kill);
  let begun = "";
  const follow = () => {
    const lines = (begun + stdout.read()).split("\n");
    begun = lines.pop()!;
    for (const line of lines) onLine?.(line);
  };
  const timer = setInterval(follow, FOLLOW_MILLISECONDS);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on("error", reject).on("close", resolve);
    });
    follow();
    stderr.read();
    return { code, stdout: stdout.text, stderr: stderr.text };
  } finally {
    clearInterval(timer);
    stdout.close();
    stderr.close();
    signal?.removeEventListener("abort", interrupt);
    process.off("exit", kill);
  }
}

function parse(line: string): Message | undefined {
  try {
    return JSON.parse(line) as Message;
  } catch {
    // Not one of its messages.
    return undefined;
  }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

/** Terraform's errors as it shows them to people, without frame and excerpt. */
function plainErrors(stderr: string): Diagnostic[] {
  const found = stderr
    .replace(/\u001b\[[\d;]*m/g, "")
    .replace(/^[╷│╵]\s?/gmu, "")
    .split(/^Error: /m)
    .map((block) => block.trim().replace(/\s+/g, " "))
    .filter((block) => block !== "")
    .map((block): Diagnostic => {
      const [summary, address] = block.split(/ with (\S+), on \S+ line .*$/);
      return { severity: "error", summary: summary!, detail: "", address };
    });
  return found.length > 0 ? found : [{ severity: "error", summary: "terraform gave no reason", detail: "" }];
}

function diagnosticText({ summary, detail }: Diagnostic): string {
  if (summary.includes("acquiring the state lock")) return lockText(detail);
  return `${summary.trim().replace(/\s+/g, " ")}${detail ? `: ${detail.trim().replace(/\s+/g, " ")}` : ""}`;
}

/** Locks of the local and the pg backend die with their holder; one of another backend may stay behind. */
function lockText(detail: string): string {
  const id = /ID:\s+(\S+)/.exec(detail)?.[1] ?? "ID";
  return `another Terraform run holds the state: wait until it has ended (a lock that stays when none runs: terraform force-unlock ${id})`;
}

/** As Terraform sums a plan up. */
function planned(text: string): Pick<Plan, "counts" | "going"> {
  const plain = text.replace(/\u001b\[[\d;]*m/g, "");
  return {
    counts: /^Plan: (.*)\.$/m.exec(plain)?.[1],
    going: [...plain.matchAll(/^\s*# (\S+) (?:must be replaced|will be destroyed)/gm)].map(
      ([, address]) => address!,
    ),
  };
}

/** A plan without what says nothing about it: what was read before it, and how to save it. */
function planText(stdout: string): string {
  return stdout
    .split("\n")
    .filter((line) => !/: (Refreshing state|Reading|Read complete after)/.test(line))
    .join("\n")
    .replace(/\n[^\n]*─{20,}[\s\S]*$/u, "")
    .trim();
}
