import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import external from "../../config/external";
import { OwnServers } from "./own-servers";

/**
 * What a deploy changes for whom, on a machine that has deployed and on one that has not: the same, with the real Terraform and
 * providers. The tests are its steps, in order.
 */
let servers: OwnServers;

const [admin, service, report] = external.databases[0]!.personas;
const renamed = { ...service!, groupRole: "app_writers", appRole: "app-writers" };

beforeAll(async () => {
  servers = await OwnServers.start();
  servers.configure((draft) => {
    draft.databases[0]!.workload = undefined;
  });
  await servers.succeeds("init");
  await servers.succeeds("deploy", "--auto-approve");
}, 300_000);

afterAll(() => servers.stop());

const record = () => servers.checkout.path(join("home", "leasehold/external/deployed-access.json"));

/** Who gains and loses what, by the words of a command. */
const changes = (output: string) => {
  const [, access = ""] = /\n# access\n([^]*?)\n(\n|# |$)/.exec(output) ?? [];
  const lines = access.split("\n");
  return {
    lines: lines.filter((line) => /^([+-] |no change)/.test(line)),
    about: lines.filter((line) => !/^([+-] |no change)/.test(line)),
  };
};

const LIVE =
  "compared with what is live, by PostgreSQL's catalogs and Vault's answers, since no deploy from this machine has recorded what it declared";

/** In a home folder of its own, with a token in its environment, as a pipeline has it. */
const fromAnotherMachine = async (who: string, ...args: string[]) => {
  const token = readFileSync(join(servers.checkout.home, `leasehold/external/${who}-token`), "utf8");
  const home = servers.checkout.path("another-home");
  mkdirSync(home, { mode: 0o700 });
  const ended = await servers.leaseholdWith({ env: { XDG_CONFIG_HOME: home, VAULT_TOKEN: token } }, ...args);
  rmSync(home, { recursive: true });
  return ended;
};

test("no change is none there either", async () => {
  const { output } = await fromAnotherMachine("planner", "diff");
  expect(changes(output)).toEqual({ lines: ["no change"], about: [LIVE] });
});

test("privileges, TTLs, addresses, a name, a persona that goes and one that comes: line by line the same", async () => {
  servers.configure((draft) => {
    const [database] = draft.databases;
    database!.workload = undefined;
    database!.personas = [
      { ...admin!, lease: { defaultTtl: "10m", maxTtl: "20m" } },
      { ...renamed, token: { ...renamed.token, boundCidrs: ["127.0.0.1/32"] } },
      {
        ...report!,
        name: "audit",
        groupRole: "app_audit",
        appRole: "app-audit",
        privileges: {
          database: ["CONNECT"],
          schema: ["USAGE"],
          tables: ["SELECT"],
          sequences: [],
          functions: [],
        },
      },
    ];
  });
  const here = changes((await servers.leasehold("diff")).output);
  expect(here.about).toEqual([expect.stringMatching(/^compared with the deploy from this machine at /)]);
  expect(here.lines.length).toBeGreaterThan(8);
  const planned = await fromAnotherMachine("planner", "diff");
  expect(changes(planned.output)).toEqual({ lines: here.lines, about: [LIVE] });
  await servers.succeeds("init");
  const asked = await fromAnotherMachine("operator", "deploy");
  expect(changes(asked.output)).toEqual({ lines: here.lines, about: [LIVE] });
  rmSync(record());
  const output = await servers.succeeds("deploy", "--auto-approve");
  expect(changes(output)).toEqual({ lines: here.lines, about: [LIVE] });
});

test("what is deployed then is the declared", async () => {
  rmSync(record());
  expect(changes(await servers.succeeds("deploy", "--auto-approve"))).toEqual({
    lines: ["no change"],
    about: [LIVE],
  });
});
