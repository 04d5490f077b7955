import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { renderDetails } from "../../verify/report/details";
import { VaultClient, type VaultAnswer } from "../../clients/vault-client";
import { Deployment } from "../support/deployment";
import { processesWith } from "../support/program";

/** Every secret that Vault hands out during a run, collected where it arrives, and searched for by value. */
const handedOut = new Set<string>();

function collect({ body }: VaultAnswer): void {
  const data = body.data ?? {};
  const values = [body.auth?.client_token, body.wrap_info?.token, data["password"], data["secret_id"]];
  for (const value of values) if (typeof value === "string") handedOut.add(value);
}

let deployment: Deployment;

beforeAll(async () => {
  // eslint-disable-next-line @typescript-eslint/unbound-method
  const request = VaultClient.prototype.request;
  jest.spyOn(VaultClient.prototype, "request").mockImplementation(async function (
    this: VaultClient,
    ...args
  ) {
    const answer = await request.apply(this, args);
    collect(answer);
    return answer;
  });
  deployment = await Deployment.start({ postgresSettings: { log_statement: "all" } });
});

afterAll(() => deployment.stop());

test("no leased password, token, secret id or wrapping stands in a report, a log, a process list, or on disk", async () => {
  const whileRunning: string[] = [];
  const report = await deployment.verify({
    onStep: () => {
      for (const secret of handedOut) whileRunning.push(...processesWith(secret));
    },
  });
  const { initialised } = deployment.sandbox;
  const variables = { ...deployment.sandbox.variables("postgres"), ...deployment.sandbox.variables("vault") };
  const passwords = Object.entries(variables).filter(([name]) => name.endsWith("_password"));
  const secrets = [
    ...handedOut,
    ...passwords.map(([, value]) => String(value)),
    ...Object.values(initialised.tokens),
    initialised.rootToken,
  ];
  // Two logins a persona and phase at the least: what was collected is what was handed out.
  expect(handedOut.size).toBeGreaterThan(20);
  expect(secrets.filter((secret) => secret.length < 16)).toEqual([]);

  const files = readdirSync(deployment.workspace.folder, { recursive: true, encoding: "utf8" })
    .filter((name) => !name.startsWith("pg/"))
    .map((name) => join(deployment.workspace.folder, name))
    .filter((file) => statSync(file).isFile());
  expect(files).toContain(deployment.sandbox.postgres.logFile);
  expect(files).toContain(deployment.sandbox.vault.logFile);
  const places = [
    ["report", JSON.stringify(report)],
    ["table", renderDetails(report, false)],
    ...files.map((file) => [file, readFileSync(file, "latin1")] as const),
  ] as const;
  const hits = places.filter(([, text]) => secrets.some((secret) => text.includes(secret)));
  expect(hits.map(([place]) => place)).toEqual([]);
  expect(whileRunning).toEqual([]);
  expect(secrets.flatMap(processesWith)).toEqual([]);
});
