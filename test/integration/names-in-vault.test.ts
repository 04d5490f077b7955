import approle from "../../config/approle";
import type { EnvironmentInput } from "../../config/schema/schema";
import { Deployment, findings } from "../support/deployment";

/** Names as they come: no prefix, an AppRole with a policy of another name, a policy of a single word. */
const config: EnvironmentInput = structuredClone(approle);
delete config.vault.namePrefix;
const [persona] = config.databases[0]!.personas as [
  EnvironmentInput["databases"][number]["personas"][number],
];
Object.assign(persona, { appRole: "myapp", policy: "app-policy" });
config.databases[0]!.personas.push({
  ...persona,
  name: "other",
  groupRole: "other",
  appRole: "app",
  policy: "app",
});

const POLICIES = ["app-policy", "app"];
const TRUST = ["operator", "planner", "deliverer", "verifier"].map((who) => `leasehold-approle-${who}`);
const acl = (name: string) => `sys/policies/acl/${name}`;
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ env: "approle", config });
});

afterAll(() => deployment.stop());

test("the manifest, Vault and the verifier agree on each AppRole's policy", async () => {
  const logins = deployment.manifest.databases[0]!.personas.map(({ login }) => [login.name, login.policies]);
  expect(logins).toEqual([
    ["myapp", ["app-policy"]],
    ["app", ["app"]],
  ]);
  const { data } = await deployment.root.call("GET", "auth/approle/role/myapp");
  expect(data!["token_policies"]).toEqual(["app-policy"]);
  expect(findings(await deployment.verify())).toEqual([]);
});

test("the operator writes these policies with their text alone, and no token reads, writes or deletes another", async () => {
  for (const name of ["myapp", "app-policy-2", "ap", "application"])
    await deployment.root.call("PUT", acl(name), { policy: "# theirs" });
  const operator = deployment.as("operator");
  for (const name of POLICIES) {
    const text = (await operator.call("GET", acl(name))).data!["policy"];
    expect((await operator.request("PUT", acl(name), { policy: text })).status).toBe(204);
    expect((await operator.request("PUT", acl(name), { policy: "# wider" })).status).toBe(403);
    expect((await deployment.as("planner").request("GET", acl(name))).status).toBe(200);
  }
  for (const name of ["myapp", "app-policy-2", "ap", "application", "none"])
    for (const [who, method] of [
      ["operator", "GET"],
      ["operator", "PUT"],
      ["operator", "DELETE"],
      ["planner", "GET"],
      ["verifier", "GET"],
    ] as const) {
      const { status } = await deployment
        .as(who)
        .request(method, acl(name), method === "PUT" ? { policy: "" } : undefined);
      expect([who, method, name, status]).toEqual([who, method, name, 403]);
    }
  for (const name of TRUST)
    for (const method of ["PUT", "DELETE"]) {
      const { status } = await operator.request(
        method,
        acl(name),
        method === "PUT" ? { policy: "" } : undefined,
      );
      expect([method, name, status]).toEqual([method, name, 403]);
    }
});
