import { Client } from "pg";
import { equipManagers } from "../../../ops/postgres/manager-login";
import { Deployment } from "../../support/deployment";
import { attacked } from "./environment";
import { forCommands, lease, sweep } from "./support";

/** A session, by who opened it, and what it sent first. Seen at the driver, which all that the project opens goes through. */
interface Seen {
  readonly user: string;
  readonly options: string;
  readonly first: string;
}

const PINNED = /search_path\s*(=|TO|',)\s*'?\s*(pg_catalog|'|"|$)/i;

test("each session of the commands, the verifier and the sandbox pins its search path before all else, and Vault's own has but pg_catalog", async () => {
  const seen = new Map<Client, Seen>();
  // What is sent is sent: it is only looked at.
  const send = Reflect.get(Client.prototype, "query") as (...args: unknown[]) => unknown;
  const look = function (this: Client, ...args: unknown[]) {
    const [statement] = args as [string | { text: string }];
    const { user = "", options = "" } = (this as unknown as { connectionParameters: Partial<Seen> })
      .connectionParameters;
    const first = typeof statement === "string" ? statement : statement.text;
    if (!seen.has(this)) seen.set(this, { user, options, first });
    return send.apply(this, args);
  };
  const spy = jest.spyOn(Client.prototype, "query").mockImplementation(look);
  try {
    const deployment = await Deployment.start({ config: attacked });
    await deployment.verify();
    const left = await lease(deployment, "readonly_role");
    await left.open("SELECT pg_catalog.lo_create(0)", { database: "postgres" });
    await left.revoke();
    await sweep(deployment);
    await equipManagers(forCommands(deployment), deployment.manifest.databases);
    const { rows } = await deployment.superuser.query<{ settings: string[] }>(
      "SELECT rolconfig AS settings FROM pg_catalog.pg_roles WHERE rolname = 'vault'",
    );
    expect(rows).toEqual([{ settings: ["search_path=pg_catalog"] }]);
    // The test's own.
    seen.delete(deployment.superuser);
    await deployment.stop();
  } finally {
    spy.mockRestore();
  }
  const sessions = [...seen.values()];
  const [superusers, personas] = [
    sessions.filter(({ user }) => user === "nanvc"),
    // Theirs is the persona's, which is verified; what is sent there is the statement that is tried.
    sessions.filter(({ user }) => user.startsWith("v-")),
  ];
  expect(superusers.length).toBeGreaterThanOrEqual(4);
  expect(personas.length).toBeGreaterThan(5);
  const isUnpinned = ({ options, first }: Seen) => !PINNED.test(options) && !PINNED.test(first);
  expect(superusers.filter(isUnpinned)).toEqual([]);
});
