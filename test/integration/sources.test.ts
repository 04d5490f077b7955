import { CONSUMERS } from "../sources/consumers";
import { Deployment, findings } from "../support/deployment";

describe.each(Object.entries(CONSUMERS))("the source of %s", (env, consumer) => {
  let deployment: Deployment;

  beforeAll(async () => (deployment = await Deployment.start({ env })));

  afterAll(() => deployment.stop());

  consumer(() => deployment);

  test("the verifier holds where the consumer was", async () => {
    if (env === "local") await deployment.superuser.query("DROP TABLE example.users");
    expect(findings(await deployment.verify())).toEqual([]);
  });
});
