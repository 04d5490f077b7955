import { Deployment, findings } from "../support/deployment";
import { query } from "../support/hand-made";
import { startStandby } from "../support/standby";

/** PGHOST and PGPORT are a standby's: one line, and nothing is left. */
test("a standby is named, and the server itself holds", async () => {
  const deployment = await Deployment.start();
  const standby = await startStandby(deployment);
  const { host, port } = standby.address;
  await expect(deployment.verify({ postgres: () => standby.address })).rejects.toThrow(
    new RegExp(
      `^PostgreSQL at ${host}:${String(port)} is a standby, which is behind and where nothing can be made: set PGHOST and PGPORT to the primary's$`,
    ),
  );
  const { postgres } = deployment.sandbox;
  expect(await query(postgres, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'")).toEqual([]);
  expect(findings(await deployment.verify())).toEqual([]);
  await standby.stop();
  await deployment.stop();
});
