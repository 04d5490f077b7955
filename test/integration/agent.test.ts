import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { vaultBinary } from "../../sandbox/vault-binary";
import { Deployment } from "../support/deployment";
import { temporaryFolder } from "../support/folder";
import { eventually } from "../support/program";

const ROLE = "database/roles/readonly_role";
const APP_ROLE = "auth/approle/role/db-readonly-role";

let deployment: Deployment;
let agent: ChildProcess;
let log = "";
const { folder, remove } = temporaryFolder();
const rendered = join(folder, "login");

beforeAll(async () => {
  deployment = await Deployment.start();
  // Short enough to see renewals, long enough that the maximum is not what is seen.
  const role = (await deployment.root.call("GET", ROLE)).data!;
  await deployment.root.call("POST", ROLE, { ...role, default_ttl: 4, max_ttl: 600 });

  const deliverer = deployment.as("deliverer");
  // Not the deliverer's to read: whoever deploys the application puts it there.
  const operator = deployment.as("operator");
  const roleId = (await operator.call("GET", `${APP_ROLE}/role-id`)).data!["role_id"] as string;
  const { wrap_info: wrapping } = await deliverer.call("POST", `${APP_ROLE}/secret-id`, {}, "60s");
  writeFileSync(join(folder, "role-id"), roleId);
  writeFileSync(join(folder, "secret-id"), wrapping!.token);
  writeFileSync(
    join(folder, "agent.hcl"),
    `vault { address = "${deployment.sandbox.vault.address}" }
     auto_auth {
       method "approle" {
         config = {
           role_id_file_path = "${folder}/role-id"
           secret_id_file_path = "${folder}/secret-id"
           secret_id_response_wrapping_path = "${APP_ROLE}/secret-id"
           remove_secret_id_file_after_reading = true
         }
       }
     }
     template {
       contents = "{{ with secret \\"database/creds/readonly_role\\" }}{{ .Data.username }} {{ .Data.password }}{{ end }}"
       destination = "${rendered}"
     }`,
  );
  const { path } = await vaultBinary();
  agent = spawn(path, ["agent", `-config=${join(folder, "agent.hcl")}`], {
    env: { PATH: process.env["PATH"], HOME: folder },
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const stream of [agent.stdout!, agent.stderr!]) stream.on("data", (text) => (log += String(text)));
});

afterAll(async () => {
  agent.kill("SIGKILL");
  await deployment.stop();
  remove();
});

test("an agent opens the wrapped secret id, logs in, renders a lease, and keeps it renewed", async () => {
  await eventually(
    () => existsSync(rendered),
    20_000,
    () => log,
  );
  expect(existsSync(join(folder, "secret-id"))).toBe(false);
  const first = readFileSync(rendered, "utf8");
  const [user, password] = first.split(" ") as [string, string];
  const validUntil = async () => {
    const sql = "SELECT extract(epoch FROM rolvaliduntil)::float AS end FROM pg_roles WHERE rolname = $1";
    return (await deployment.superuser.query<{ end: number }>(sql, [user])).rows[0]?.end ?? 0;
  };
  const begin = await validUntil();
  let end = begin;
  const looking = setInterval(() => void validUntil().then((seen) => (end = seen)), 200);
  // Twice over what the first lease had: it was renewed more than once.
  await eventually(
    () => end > begin + 8,
    40_000,
    () => `VALID UNTIL did not move on from ${String(begin)}:\n${log}`,
  );
  clearInterval(looking);
  expect(readFileSync(rendered, "utf8")).toBe(first);
  const { host, port, database } = deployment.sandbox.postgres;
  const client = new Client({ host, port, database, user, password, ssl: false });
  await client.connect();
  await client.end();
  expect(await deployment.leasedRoles()).toEqual([user]);
  expect(log).not.toMatch(/permission denied/);
});
