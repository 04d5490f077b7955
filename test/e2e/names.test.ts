import external from "../../config/external";
import type { EnvironmentInput } from "../../config/schema/schema";
import { messages } from "../support/program";
import { OwnServers } from "./own-servers";

/** Names in Vault without a prefix, with the real Terraform and providers. */
let servers: OwnServers;

const [ADMIN, SERVICE, REPORT] = external.databases[0]!.personas as [Persona, Persona, Persona];
type Persona = EnvironmentInput["databases"][number]["personas"][number];

beforeAll(async () => {
  servers = await OwnServers.start();
}, 60_000);

afterAll(() => servers.stop());

function configure(...personas: Persona[]): void {
  servers.configure((draft) => {
    const [database] = draft.databases as [(typeof draft.databases)[number]];
    delete draft.vault.namePrefix;
    delete database.workload;
    database.personas = personas;
  });
}

const holds = (...args: string[]) => servers.succeeds(...args);

const status = async (path: string) => (await servers.root().request("GET", path)).status;

test("a persona that comes or goes needs init, which deploy says before it changes anything", async () => {
  const app = { ...SERVICE, appRole: "myapp", policy: "app-policy" };
  configure(ADMIN, app);
  await holds("init");
  await holds("deploy", "--auto-approve");
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });

  const report = { ...REPORT, appRole: "report", policy: "app" };
  configure(ADMIN, app, report);
  const refused = await servers.leasehold("deploy", "--auto-approve");
  expect([refused.code, messages(refused.output)]).toEqual([
    2,
    [
      expect.stringMatching(
        /^the operator's policy at \S+ is no longer what the config declares: run npx leasehold init, with VAULT_TOKEN a root token, then deploy again; it does not cover sys\/policies\/acl\/app and 1 other path$/,
      ),
    ],
  ]);
  expect(await servers.query("SELECT rolname FROM pg_roles WHERE rolname = 'app_report'")).toEqual([]);
  await holds("init");
  await holds("deploy", "--auto-approve");
  await holds("verify", "--no-expiry");

  configure(ADMIN, report);
  await holds("init");
  expect((await servers.leasehold("diff")).code).toBe(2);
  await holds("deploy", "--auto-approve");
  expect([await status("sys/policies/acl/app-policy"), await status("sys/policies/acl/app")]).toEqual([
    404, 200,
  ]);
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  await holds("destroy", "--auto-approve");
  expect(await status("sys/policies/acl/app")).toBe(404);
});
