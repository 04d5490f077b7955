import { asSuperuser } from "../../ops/postgres/superuser";
import { Deployment, findings } from "../support/deployment";
import { startPgBouncer, withPgBouncer } from "../support/pgbouncer";
import type { PostgresAddress } from "../../verify/session/session";

const { describe, because } = withPgBouncer();

describe(`PgBouncer between verifier and PostgreSQL${because}`, () => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await Deployment.start();
  });

  afterAll(() => deployment.stop());

  test.each([
    ["session", /^a connection pooler in session mode answers at \S+: .* to try all$/],
    [
      "transaction",
      /^a connection pooler in transaction mode answers at \S+: .* can't be told, .* to try all$/,
    ],
  ] as const)("in %s mode: everything holds, and what is not tried is told", async (mode, remark) => {
    const { address, stop } = await startPgBouncer(deployment.workspace, mode, deployment.sandbox.postgres);
    const report = await deployment.verify({ postgres: () => address, expiry: true });
    expect(findings(report)).toEqual([]);
    expect(report.left).toEqual([]);
    expect(report.remarks).toEqual([expect.stringMatching(remark)]);
    expect(await deployment.leasedRoles()).toEqual([]);
    await deploysNot(address);
    await stop();
  });

  async function deploysNot({ host, port }: PostgresAddress): Promise<void> {
    const { superuser: user, password, database, name: server } = deployment.sandbox.postgres;
    const login = {
      server,
      host,
      port,
      user,
      password,
      database,
      variableFor: (what: string) => `<${what}>`,
    };
    await expect(asSuperuser(login, () => Promise.resolve())).rejects.toThrow(
      `a connection pooler answers at ${host}:${String(port)}, through which Terraform can't deploy: set <host> and <port> to PostgreSQL itself`,
    );
  }
});
