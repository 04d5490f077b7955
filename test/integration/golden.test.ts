import { dump } from "../golden/golden";
import { Deployment } from "../support/deployment";

test("the dump sees a grant, a role's setting, a policy and a TTL", async () => {
  const deployment = await Deployment.start();
  const before = JSON.stringify(await dump(deployment));
  const { superuser, root } = deployment;
  const seen = async (change: () => Promise<unknown>, undo: () => Promise<unknown>) => {
    await change();
    const differs = JSON.stringify(await dump(deployment)) !== before;
    await undo();
    expect(JSON.stringify(await dump(deployment))).toBe(before);
    return differs;
  };
  const sql = (text: string) => () => superuser.query(text);
  expect(
    await seen(
      sql("GRANT CREATE ON SCHEMA example TO readonly_role"),
      sql("REVOKE CREATE ON SCHEMA example FROM readonly_role"),
    ),
  ).toBe(true);
  expect(
    await seen(sql("ALTER ROLE vault SET work_mem = '8MB'"), sql("ALTER ROLE vault RESET work_mem")),
  ).toBe(true);
  expect(
    await seen(sql("GRANT readwrite_role TO readonly_role"), sql("REVOKE readwrite_role FROM readonly_role")),
  ).toBe(true);
  const policy = (await root.call("GET", "sys/policies/acl/db-readonly-role")).data as { policy: string };
  const write = (text: string) => () =>
    root.call("PUT", "sys/policies/acl/db-readonly-role", { policy: text });
  expect(await seen(write(`${policy.policy}\n# wider`), write(policy.policy))).toBe(true);
  const ttl = (seconds: number) => () =>
    root.call("POST", "auth/approle/role/db-readonly-role", { token_ttl: seconds });
  expect(await seen(ttl(600), ttl(1200))).toBe(true);
  await deployment.stop();
});
