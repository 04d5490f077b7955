import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import external from "../../config/external";
import { CertificateAuthority } from "../../sandbox/certificates";
import type { Report } from "../../verify/report/report";
import { eventually, messages, Program } from "../support/program";
import { record } from "../support/seen";
import { NO_NAMESPACES, onOpenBao } from "../support/skip";
import { leaseAgainAndAgain } from "./application";
import { Checkout } from "./checkout";
import { inVault } from "./in-vault";
import { importCommands, killTree } from "./killed";
import { withAll } from "./needs";
import { OwnServers } from "./own-servers";
import { poll } from "./poll";
import { run } from "./terraform";

/**
 * The environment external by the command line, with the real Terraform and providers: servers that exist already and take
 * TLS alone, with certificates of an authority of their own, in a namespace of Vault's, and the state in PostgreSQL. The
 * tests are its steps, in order.
 */
const PERSONAS = external.databases[0]!.personas;
const inNamespace = onOpenBao(NO_NAMESPACES);
const namespace = inNamespace.because ? undefined : "team";
let servers: OwnServers;
let otherCaFile: string;

beforeAll(async () => {
  servers = await OwnServers.start({ namespace });
  configure();
  otherCaFile = servers.checkout.path("other.crt");
  writeFileSync(otherCaFile, (await CertificateAuthority.create()).certificate);
  const { sandbox } = servers.deployment;
  const { host, port, superuser, password, database } = sandbox.postgres;
  servers.env["PG_CONN_STR"] =
    `postgres://${superuser}:${password}@${host}:${String(port)}/${database}?sslmode=verify-full&sslrootcert=${sandbox.caFile!}`;
  await servers.query("REVOKE CONNECT ON DATABASE app FROM PUBLIC");
}, 60_000);

afterAll(() => servers.stop());

function configure(personas = PERSONAS, checkout = servers.checkout): void {
  servers.configure((draft) => {
    draft.databases[0]!.personas = personas;
    draft.backend = { type: "pg", arguments: { schema_name: "states_{environment}_{stack}" } };
  }, checkout);
}

const roles = () => servers.query("SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY 1");

/** Somebody has closed the database to PUBLIC before. */
const publics = () =>
  servers.query(
    "SELECT privilege_type FROM pg_database, aclexplode(datacl) WHERE datname = 'app' AND grantee = 0",
  );

test("init, with a token of the Vault's owner", init);

async function init(): Promise<void> {
  const { code, output } = await servers.leasehold("init");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
}

test.each<[string, RegExp]>([
  ["TF_VAR_vault_ca_cert_file", /^Vault does not answer at https:\S+: its certificate is not trusted/],
  [
    "TF_VAR_postgres_sslrootcert",
    /^the certificate of PostgreSQL at \S+ is not trusted \(.*\): set TF_VAR_postgres_sslrootcert to the file/,
  ],
])("another authority's certificate in %s: one line, exit code 2, nothing changed", async (name, line) => {
  const { code, output } = await servers.leaseholdWith({ env: { [name]: otherCaFile } }, "deploy");
  expect({ code, lines: messages(output) }).toEqual({ code: 2, lines: [expect.stringMatching(line)] });
  expect(await roles()).toEqual(["postgres"]);
});

test("a login with the name of Vault's own that is somebody else's: a first deploy says so, and it stays as it is, destroy too", async () => {
  for (const sql of [
    "CREATE ROLE staff",
    "CREATE ROLE clerk",
    "CREATE ROLE vault LOGIN CREATEDB CREATEROLE CONNECTION LIMIT 7 PASSWORD 'theirs' VALID UNTIL '2099-01-01'",
    "ALTER ROLE vault SET search_path = theirs",
    "GRANT staff TO vault WITH ADMIN OPTION",
    "GRANT staff TO clerk GRANTED BY vault",
    "CREATE SCHEMA theirs AUTHORIZATION vault",
  ])
    await servers.query(sql);
  const theirs = () =>
    servers.query(
      `SELECT jsonb_build_array(to_jsonb(r), s.setconfig,
         (SELECT jsonb_agg(to_jsonb(m) ORDER BY roleid, member, grantor) FROM pg_auth_members m WHERE r.oid IN (roleid, member, grantor)),
         (SELECT jsonb_agg(to_jsonb(d) ORDER BY dbid, classid, objid, deptype) FROM pg_shdepend d WHERE refobjid = r.oid))
       FROM pg_authid r JOIN pg_db_role_setting s ON s.setrole = r.oid WHERE rolname = 'vault'`,
    );
  const found = await theirs();
  expect(found).toHaveLength(1);
  const { code, output } = await servers.leasehold("deploy");
  expect({ code, lines: messages(output) }).toEqual({
    code: 2,
    lines: [
      expect.stringMatching(
        /^the role vault on PostgreSQL at \S+ is there already .*; if it is somebody else's, choose another name in config\/external\.ts, /,
      ),
    ] as string[],
  });
  expect(await theirs()).toEqual(found);
  const destroyed = await servers.leasehold("destroy", "--auto-approve", "--delete-data");
  expect({ code: destroyed.code, output: destroyed.code === 0 ? "" : destroyed.output }).toEqual({
    code: 0,
    output: "",
  });
  expect(await theirs()).toEqual(found);
  // Destroy has ended the tokens.
  await init();
  for (const sql of ["SCHEMA theirs", "ROLE clerk", "ROLE vault", "ROLE staff"])
    await servers.query(`DROP ${sql}`);
  expect(await roles()).toEqual(["postgres"]);
});

test("deploy, again, diff and verify", async () => {
  const { code, output } = await servers.leasehold("deploy");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  expect(await servers.leasehold("deploy")).toEqual({
    code: 0,
    output: expect.stringContaining("Nothing to do") as string,
  });
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  const json = servers.checkout.path("report.json");
  const verified = await servers.leasehold("verify", "--no-expiry", "--json", json);
  expect({ code: verified.code, output: verified.output }).toEqual({
    code: 0,
    output: expect.stringContaining("left behind: nothing") as string,
  });
  record(
    JSON.parse(readFileSync(json, "utf8")) as Report,
    servers.deployment.sandbox.vault.label,
    `leasehold deploy, TLS${namespace ? ", namespace" : ""}`,
  );
});

test("PUBLIC has nothing", async () => {
  expect(await publics()).toEqual([]);
});

inNamespace.test(`all of it is in the namespace${inNamespace.because}`, async () => {
  expect((await servers.deployment.root.call("GET", "sys/mounts")).data).not.toHaveProperty("database/");
});

const STATES = ["postgres", "vault"].map((stack) => `states_external_${stack}`);

test("the state is in PostgreSQL, without a secret, and nowhere else", async () => {
  const files = readdirSync(servers.checkout.folder, { recursive: true, encoding: "utf8" });
  expect(files.filter((file) => file.endsWith(".tfstate") && !file.includes(".terraform/"))).toEqual([]);
  const states = await Promise.all(
    STATES.map((schema) => servers.query(`SELECT data FROM ${schema}.states`)),
  );
  expect(states.map(({ length }) => length)).toEqual([1, 1]);
  const home = join(servers.checkout.home, "leasehold/external");
  const secrets = readdirSync(home)
    .filter((name) => !name.endsWith(".json"))
    .map((name) => readFileSync(join(home, name), "utf8").trim());
  const given = Object.entries(servers.env).filter(([name]) => name.endsWith("_password"));
  secrets.push(...given.map(([, password]) => password!));
  // The four tokens, the superuser's password and the manager's.
  expect(secrets).toHaveLength(6);
  expect(secrets.filter((secret) => JSON.stringify(states).includes(secret))).toEqual([]);
});

test("from another checkout with the same secrets there is nothing to do; while somebody holds the lock, one line", async () => {
  const other = new Checkout("external");
  configure(PERSONAS, other);
  cpSync(servers.checkout.home, other.home, { recursive: true });
  const fromOther = (...args: string[]) =>
    servers.leaseholdWith({ checkout: other, env: { XDG_CONFIG_HOME: other.home } }, ...args);
  expect(await fromOther("deploy")).toEqual({
    code: 0,
    output: expect.stringContaining("Nothing to do") as string,
  });
  expect(await fromOther("diff")).toMatchObject({ code: 0 });

  // Asks, and holds its lock meanwhile.
  const asking = spawn(
    "sh",
    [
      "-c",
      'eval "$(node --import tsx cli.ts env)"; cd cdktf.out/stacks/vault; TF_INPUT=1 exec terraform destroy',
    ],
    { cwd: servers.checkout.folder, env: servers.env, stdio: ["pipe", "pipe", "inherit"] },
  );
  const ended = once(asking, "close");
  let asked = "";
  asking.stdout.setEncoding("utf8").on("data", (text: string) => (asked += text));
  await eventually(
    () => asked.includes("Only 'yes' will be accepted"),
    60_000,
    () => asked,
  );
  const { code, output } = await fromOther("deploy");
  expect({ code, lines: messages(output).slice(-1) }).toEqual({
    code: 1,
    lines: [expect.stringMatching(/^another Terraform run holds the state: wait until it has ended/)],
  });
  asking.stdin.end("no\n");
  await ended;
  expect(await fromOther("deploy")).toMatchObject({ code: 0 });
  other.remove();
});

/** The personas, the leases of one of them changed. */
const reportWith = (lease: { defaultTtl?: string; maxTtl?: string }) =>
  PERSONAS.map((persona) =>
    persona.name === "report" ? { ...persona, lease: { ...persona.lease, ...lease } } : persona,
  );
const shorter = reportWith({ defaultTtl: "30m" });

test("a state that its backend does not take is saved by the next run", async () => {
  const [, states] = STATES;
  await servers.query(
    `CREATE FUNCTION ${states!}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$`,
  );
  await servers.query(
    `CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON ${states!}.states FOR EACH ROW EXECUTE FUNCTION ${states!}.refuse()`,
  );
  configure(reportWith({ maxTtl: "20h" }));
  const { code, output } = await servers.leasehold("deploy");
  const file = servers.checkout.path("cdktf.out/stacks/vault/errored.tfstate");
  expect({ code, lines: messages(output) }).toEqual({
    code: 1,
    lines: expect.arrayContaining([
      expect.stringMatching(/^Failed to save state: .*refused/),
      `its state is in ${file}: the next npx leasehold deploy or destroy saves it where it belongs`,
    ]) as string[],
  });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  await servers.query(`DROP FUNCTION ${states!}.refuse() CASCADE`);
  const again = await servers.leasehold("deploy");
  expect({ code: again.code, output: again.code === 0 ? "" : again.output }).toEqual({ code: 0, output: "" });
  expect(again.output).toContain("Deployed the stack vault: nothing to do");
  expect(existsSync(file)).toBe(false);
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
});

withAll.test(`a TTL changed: the diff says so, and deploy does that alone${withAll.because}`, async () => {
  configure(shorter);
  expect(await servers.leasehold("diff")).toEqual({
    code: 2,
    output: expect.stringMatching(/default_ttl\s+= 3600 -> 1800/) as string,
  });
  const { code, output } = await servers.leasehold("deploy");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  expect(output).toContain("Deployed the stack postgres: nothing to do");
  expect(output).toContain("Deployed the stack vault: 0 added, 1 changed, 0 removed");
});

withAll.test(
  `a persona added, and removed while applications lease anew at once${withAll.because}`,
  async () => {
    const [name, groupRole, appRole] = ["auditor", "app_auditor", "app-auditor"];
    configure([...shorter, { ...shorter[2]!, name, groupRole, appRole }]);
    await init();
    expect(await servers.leasehold("deploy")).toMatchObject({ code: 0 });
    const stop = new AbortController();
    const lease = () => servers.root().request("GET", `database/creds/${groupRole}`);
    const { host, port, database, ssl } = servers.deployment.sandbox.postgres;
    const applications = [1, 2, 3].map(() =>
      leaseAgainAndAgain(lease, { host, port, database, ssl }, stop.signal),
    );
    const auditors = async () => (await roles()).filter((role) => String(role).includes("app_audi"));
    await poll(async () => {
      expect((await auditors()).length).toBeGreaterThan(applications.length);
    });
    configure(shorter);
    await init();
    const { code, output } = await servers.leasehold("deploy");
    stop.abort();
    await Promise.all(applications);
    expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
    expect(output).toContain(`revoking the leases of database/creds/${groupRole}`);
    expect(await auditors()).toEqual([]);
    expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  },
);

withAll.test(
  `a deploy that is killed is finished by the next, or by what that names${withAll.because}`,
  async () => {
    const [name, groupRole, appRole] = ["auditor", "app_auditor", "app-auditor"];
    configure([...shorter, { ...shorter[2]!, name, groupRole, appRole }]);
    await init();
    const killed = new Program(["deploy"], servers.env, servers.checkout.folder);
    await poll(async () => {
      expect(await roles()).toContain(groupRole);
    });
    killTree(killed.child.pid!);
    expect(await killed.ended).toBe("SIGKILL");
    let { code, output } = await servers.leasehold("deploy");
    if (code !== 0) {
      for (const command of importCommands(output)) {
        const imported = await run("sh", ["-c", command], { cwd: servers.checkout.folder, env: servers.env });
        expect(imported).toMatchObject({ code: 0 });
      }
      ({ code, output } = await servers.leasehold("deploy"));
    }
    expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
    expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
    expect((await servers.root().request("GET", `database/creds/${groupRole}`)).status).toBe(200);
  },
);

test("destroy with a lease alive leaves no role, nothing in Vault, and PUBLIC what it had before", async () => {
  await servers.root().call("GET", "database/creds/app_report");
  expect(await inVault(servers.root())).toEqual(
    expect.arrayContaining(["leases of database/", "database/", "approle/", "app-report"]),
  );
  const { code, output } = await servers.leasehold("destroy", "--auto-approve", "--delete-data");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  expect(await roles()).toEqual(["postgres"]);
  const policies = ["deliverer", "operator", "planner", "verifier"].map((who) => `leasehold-external-${who}`);
  expect(await inVault(servers.root())).toEqual(policies);
  expect(output).toMatch(/^left: the policies leasehold-external-operator, leasehold-external-planner, /m);
  expect(await publics()).toEqual(["TEMPORARY"]);
});
