import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { Client, escapeIdentifier as ident } from "pg";
import { SetupError } from "../clients/setup-error";
import { columns } from "../clients/text";
import { parseAccessManifest, type AccessManifestInput, type ManifestDatabase } from "../manifest/schema";
import { ROOT } from "../ops/deployment/synthesize";
import type { PostgresMajor } from "../sandbox/postgres-binaries";
import { Sandbox } from "../sandbox/sandbox";
import { Workspace } from "../sandbox/workspace";
import type { Spent } from "./calls";
import { synthesizeConfig } from "./checkout";
import { comparison, time, type Comparison } from "./measure";

const DATABASES = 20;
const [TABLES, FUNCTIONS, ROLES] = [2000, 5000, 200];
/** The twenty are to be verified side by side. */
const CONNECTIONS = "200";
const MOST_ROUNDS = 3;

interface Run extends Spent {
  readonly milliseconds: number;
}

/** Of one, two and twenty databases, and of one with many objects: beside what they are to be compared with. */
export interface Verifications {
  readonly comparisons: readonly Comparison[];
  /** Calls and memory, a line each. */
  readonly spent: readonly string[];
}

/** `leasehold verify` as a program, on embedded servers, whole: with what ends by itself, and without. */
export async function benchVerifications(
  major: PostgresMajor,
  rounds: number,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<Verifications> {
  const workspace = await Workspace.create();
  let sandbox: Sandbox | undefined;
  try {
    onProgress(`${String(DATABASES)} databases on embedded servers`);
    const synthesized = workspace.path("cdktf.out");
    await synthesizeConfig("bench-many", manyDatabases(), synthesized);
    sandbox = await Sandbox.start(workspace, {
      ...{ synthesized, postgresMajor: major, postgresSettings: { max_connections: CONNECTIONS } },
    });
    await sandbox.apply();
    return await measure(sandbox, workspace, synthesized, {
      ...{ rounds: Math.min(rounds, MOST_ROUNDS), signal, onProgress },
    });
  } finally {
    await sandbox?.stop();
    workspace.remove();
  }
}

interface Options {
  readonly rounds: number;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

async function measure(
  sandbox: Sandbox,
  workspace: Workspace,
  synthesized: string,
  { rounds, signal, onProgress }: Options,
): Promise<Verifications> {
  const { address } = sandbox.vault;
  const { host, port, superuser, password } = sandbox.postgres;
  const file = workspace.path("calls.json");
  const text = readFileSync(join(synthesized, "access.json"), "utf8");
  const written = JSON.parse(text) as AccessManifestInput;
  const [first] = parseAccessManifest(text).databases as [ManifestDatabase];
  const run = async (args: readonly string[], env: NodeJS.ProcessEnv): Promise<Run> => {
    signal.throwIfAborted();
    const before = ["--import", "tsx", "--import", "./bench/calls.ts"];
    const milliseconds = await time(async () => {
      const { exitCode, stdout, stderr } = await execa(process.execPath, [...before, ...args], {
        ...{ cwd: ROOT, reject: false, cancelSignal: signal, stdin: "ignore" },
        env: { ...env, LEASEHOLD_BENCH_CALLS: file, PGHOST: host, PGPORT: String(port) },
      });
      if (exitCode !== 0) throw new SetupError(`${args.join(" ")}: ${stderr || stdout}`);
    });
    return { milliseconds, ...(JSON.parse(readFileSync(file, "utf8")) as Spent) };
  };
  const verify = async (databases: number, ...options: string[]) => {
    const part = workspace.path("access.json");
    writeFileSync(part, JSON.stringify({ ...written, databases: written.databases.slice(0, databases) }));
    return run(["cli.ts", "verify", "--manifest", part, ...options], {
      ...{ VAULT_ADDR: address, VAULT_TOKEN: sandbox.initialised.tokens.verifier },
    });
  };
  const eachObject = () =>
    run(["bench/each-object.ts"], {
      ...{ PGDATABASE: first.name, PGUSER: superuser, PGPASSWORD: password },
      SCHEMA: first.schemas[0]!.name,
      ROLES: first.personas.map(({ groupRole }) => groupRole).join(","),
    });

  /** By turns, so that what else the machine does hits all. */
  const series = async <Name extends string>(what: Record<Name, () => Promise<Run>>) => {
    const entries = Object.entries(what) as [Name, () => Promise<Run>][];
    const runs = Object.fromEntries(entries.map(([name]) => [name, [] as Run[]])) as Record<Name, Run[]>;
    for (let round = 1; round <= rounds; round += 1)
      for (const [name, one] of entries) {
        onProgress(`${name}, round ${String(round)} of ${String(rounds)}`);
        runs[name].push(await one());
      }
    return runs;
  };
  const small = await series({
    "1 database": () => verify(1),
    "2 databases": () => verify(2),
    "20 databases": () => verify(DATABASES),
    "1 database, --no-expiry": () => verify(1, "--no-expiry"),
    "20 databases, --no-expiry": () => verify(DATABASES, "--no-expiry"),
  });
  await fill(sandbox, first);
  const many = `${String(TABLES)} tables, ${String(FUNCTIONS)} functions, ${String(ROLES)} roles`;
  const large = await series({ [many]: () => verify(1, "--no-expiry"), "a call each": eachObject });

  const all: Record<string, Run[]> = { ...small, ...large };
  const of = (name: string, field: keyof Run = "milliseconds") => all[name]!.map((each) => each[field]);
  const beside = (name: string, other: string) => comparison([`verify, ${name}`, other], of(name), of(other));
  return {
    comparisons: [
      beside("2 databases", "1 database"),
      beside("20 databases", "1 database"),
      beside("20 databases, --no-expiry", "1 database, --no-expiry"),
      comparison(
        [
          "verify, 1 database, --no-expiry, from its first call to its last",
          "while one of them is under way",
        ],
        of("1 database, --no-expiry", "span"),
        of("1 database, --no-expiry", "waiting"),
      ),
      comparison(
        [`verify, ${many}`, "a program with one call for each object and persona"],
        of(many),
        of("a call each"),
      ),
    ],
    spent: columns(
      [
        ["", "calls", "latency of all, s", "peak memory, MiB"],
        ...Object.entries(all).map(([name, runs]) => {
          const { calls, latency, peak } = runs.at(-1)!;
          return [name, String(calls), (latency / 1000).toFixed(1), (peak / 1024).toFixed(0)];
        }),
      ],
      (column) => column > 0,
    ),
  };
}

/** As people have them, with what a persona's row security, triggers and the like would only take away. */
async function fill(sandbox: Sandbox, { name: database, owner, schemas }: ManifestDatabase): Promise<void> {
  const { host, port, superuser: user, password } = sandbox.postgres;
  const client = new Client({ host, port, database, user, password });
  await client.connect();
  await client.query(
    `DO $$ BEGIN FOR i IN 1..${String(ROLES)} LOOP EXECUTE pg_catalog.format('CREATE ROLE other_%s', i); END LOOP; END $$;
     SET ROLE ${ident(owner)}; SET search_path TO ${ident(schemas[0]!.name)};
     DO $$ BEGIN
       FOR i IN 1..${String(TABLES)} LOOP
         EXECUTE pg_catalog.format('CREATE TABLE t%s (id integer PRIMARY KEY, note text)', i);
       END LOOP;
       FOR i IN 1..${String(FUNCTIONS)} LOOP
         EXECUTE pg_catalog.format('CREATE FUNCTION f%s() RETURNS integer LANGUAGE sql AS ''SELECT 1''', i);
       END LOOP;
     END $$`,
  );
  await client.query("RESET ROLE; ANALYZE");
  await client.end();
}

/** A config: local's database so many times, each with its own names. */
function manyDatabases(): string {
  return `import local from "./local";
const [first] = local.databases;
const databases = Array.from({ length: ${String(DATABASES)} }, (_, i) => {
  const name = \`many\${i + 1}\`;
  return {
    ...first, name, owner: \`\${name}_owner\`, manager: { name: \`vault_\${name}\`, passwordVersion: 1 },
    vault: { mount: "database", connection: name }, workload: undefined,
    personas: first.personas.map((persona) => ({
      ...persona, groupRole: \`\${name}_\${persona.name}\`, appRole: \`db-\${name}-\${persona.name}\`,
    })),
  };
});
export default {
  ...local, name: "bench-many", leases: "functions", databases,
  servers: [{ ...local.servers[0], database: "many1" }],
};
`;
}
