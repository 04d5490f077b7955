import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startApplication } from "../../ops/verification/application";
import { Deployment, findings } from "../support/deployment";
import { temporaryFolder } from "../support/folder";
import { eventually, processesWith, ROOT } from "../support/program";

/** examples/pool where Vault itself ends leases and tokens after seconds: its roles are changed to that by hand. */
let deployment: Deployment;
const { folder, remove } = temporaryFolder();
const secretIdFile = join(folder, "secret-id");
const APP_ROLE = "auth/approle/role/app";
const ROLE = "database/roles/db-app";

beforeAll(async () => {
  deployment = await Deployment.start({ env: "marmelab" });
});

afterAll(async () => {
  await deployment.stop();
  remove();
});

/** Also those of a test that failed. */
const started: ChildProcess[] = [];

afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});

async function deliver(): Promise<string> {
  const { wrap_info: wrapping } = await deployment
    .as("deliverer")
    .call("POST", `${APP_ROLE}/secret-id`, {}, "60s");
  writeFileSync(secretIdFile, wrapping!.token);
  return wrapping!.token;
}

/** The application as README.md says to run it, and what its clients see. */
class Running {
  log = "";
  url = "";
  readonly logins: string[] = [];
  readonly failures: string[] = [];
  readonly ended: Promise<number | null>;
  private readonly child: ChildProcess;

  constructor(more: NodeJS.ProcessEnv = {}) {
    const { vault, postgres } = deployment.sandbox;
    this.child = spawn(process.execPath, ["--import", "tsx", "examples/pool/main.ts"], {
      cwd: ROOT,
      env: {
        PATH: process.env["PATH"],
        VAULT_ADDR: vault.address,
        ...{ AUTH_MOUNT: "approle", APP_ROLE: "app", CREDENTIALS: "database/creds/db-app" },
        ...{ ROLE_ID_FILE: join(folder, "role-id"), SECRET_ID_FILE: secretIdFile },
        ...{ PGHOST: postgres.host, PGPORT: String(postgres.port), PGDATABASE: "postgres" },
        QUERY: `SELECT session_user::text AS "user", pg_sleep(0.05)`,
        ...more,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    started.push(this.child);
    this.ended = once(this.child, "close").then(([code]) => code as number | null);
    this.child.stderr!.on("data", (text) => (this.log += String(text)));
    this.child.stdout!.on("data", (text) => (this.url += String(text)));
  }

  static async start(more: NodeJS.ProcessEnv = {}): Promise<Running> {
    // Not the deliverer's to read: whoever deploys the application puts it there.
    const { data } = await deployment.as("operator").call("GET", `${APP_ROLE}/role-id`);
    writeFileSync(join(folder, "role-id"), String(data!["role_id"]));
    await deliver();
    const running = new Running(more);
    await running.until(() => running.url.includes("\n"));
    return running;
  }

  /** Waits, within a bound, for a condition. */
  async until(condition: () => boolean): Promise<void> {
    await eventually(condition, 60_000, () => this.log);
  }

  /** Sends requests, several at a time, until a condition holds. */
  async useUntil(condition: () => boolean): Promise<void> {
    let isDone = false;
    const client = async () => {
      while (!isDone) {
        const response = await fetch(this.url.trim());
        const body = (await response.json()) as [{ user: string }];
        if (!response.ok) this.failures.push(JSON.stringify(body));
        else if (!this.logins.includes(body[0].user)) this.logins.push(body[0].user);
      }
    };
    const clients = Array.from({ length: 6 }, client);
    await this.until(condition).finally(() => (isDone = true));
    await Promise.all(clients);
  }

  /** Asks it to end. Returns its exit code. */
  end(): Promise<number | null> {
    this.child.kill("SIGTERM");
    return this.ended;
  }
}

async function whileRole(path: string, change: object, run: () => Promise<void>): Promise<void> {
  const { data } = await deployment.root.call("GET", path);
  const before = Object.fromEntries(Object.keys(change).map((field) => [field, data![field]]));
  await deployment.root.call("POST", path, { ...(path === ROLE && data), ...change });
  await run().finally(() => deployment.root.call("POST", path, { ...(path === ROLE && data), ...before }));
}

const noneLeft = async () => {
  let roles = ["?"];
  const looking = setInterval(() => void deployment.leasedRoles().then((found) => (roles = found)), 100);
  await eventually(
    () => roles.length === 0,
    20_000,
    () => roles.join(),
  ).finally(() => {
    clearInterval(looking);
  });
};

test("Vault cuts a renewal at the max TTL: another login serves before the first ends, and no request is dropped", async () => {
  await whileRole(ROLE, { default_ttl: 2, max_ttl: 5 }, async () => {
    const running = await Running.start();
    await running.useUntil(() => running.logins.length >= 3);
    expect(running.failures).toEqual([]);
    expect(running.log).toMatch(/renewed for 2 s/);
    expect(await deployment.leasedRoles()).not.toContain(running.logins[0]);
    expect(await running.end()).toBe(0);
    await noneLeft();
  });
});

test("where the token comes to its end, it logs in with the secret id that was delivered anew", async () => {
  await whileRole(APP_ROLE, { token_ttl: 3, token_max_ttl: 5 }, async () => {
    const running = await Running.start();
    await deliver();
    await running.useUntil(() => running.logins.length >= 2);
    expect(running.failures).toEqual([]);
    expect(running.log).toMatch(/the token ends in [12] s/);
    expect(existsSync(secretIdFile)).toBe(false);
    await running.end();
    await noneLeft();
  });
});

test("whose lease somebody revokes leases another one", async () => {
  const running = await Running.start({ INCREMENT: "3" });
  await running.useUntil(() => running.logins.length === 1);
  await deployment.as("operator").call("PUT", "sys/leases/revoke-prefix/database/creds", { sync: true });
  await running.useUntil(() => running.logins.length === 2);
  expect(running.failures.length).toBeGreaterThan(0);
  expect(await running.end()).toBe(0);
  await noneLeft();
});

test("a wrapped secret id that somebody else has opened, or one of another path, is not used", async () => {
  const wrapping = await deliver();
  await deployment.root.withToken(wrapping).call("POST", "sys/wrapping/unwrap");
  const opened = new Running();
  expect(await opened.ended).toBe(1);
  expect(opened.log.trim()).toMatch(/^POST sys\/wrapping\/lookup: HTTP 400: /);

  const { wrap_info: other } = await deployment.root.call("GET", "sys/mounts", undefined, "60s");
  writeFileSync(secretIdFile, other!.token);
  const foreign = new Running();
  expect(await foreign.ended).toBe(1);
  expect(foreign.log.trim()).toBe(`the wrapped secret id is not of ${APP_ROLE}/secret-id`);
});

describe("the verifier", () => {
  test("finds an application that drops requests", async () => {
    const report = await deployment.verify({
      startApplication: async (settings) => {
        const application = await startApplication(settings);
        // Somebody takes its leases away as soon as it serves.
        await deployment.as("operator").call("PUT", "sys/leases/revoke-prefix/database/creds/db-app", {
          sync: true,
        });
        return application;
      },
    });
    expect(findings(report)).toContainEqual(
      expect.stringMatching(
        /^ pool example: no request is dropped: no request may be dropped, \d+ were: HTTP 503/,
      ),
    );
    expect(report.left).toEqual([]);
  });

  test("finds one that does not start, in one line, and leaves nothing", async () => {
    const report = await deployment.verify({
      startApplication: (settings) => startApplication({ ...settings, credentials: "database/creds/ghost" }),
    });
    expect(findings(report)).toEqual([
      expect.stringMatching(
        /^ pool example: no request is dropped: the application did not start: GET database\/creds\/ghost: HTTP 403: [^\n]*$/,
      ),
      " pool example: ended, its logins and leases are gone: it did not start",
    ]);
    expect(processesWith(deployment.sandbox.vault.address)).toEqual([]);
  });

  test("finds one that keeps its login for good", async () => {
    const report = await deployment.verify({
      startApplication: (settings) => startApplication({ ...settings, maxAge: 3600 }),
    });
    expect(findings(report)).toEqual([
      expect.stringMatching(
        /^ pool example: leased anew, the login before is gone: v-\S+ served alone for 30000 ms/,
      ),
    ]);
    expect(report.left).toEqual([]);
  });
});
