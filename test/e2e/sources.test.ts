import { join } from "node:path";
import { CONSUMERS } from "../sources/consumers";
import { Deployment } from "../support/deployment";
import { environment, plan, run } from "./terraform";

/** The consumer's half of each source, on what the real Terraform and providers have made. */
describe.each(Object.entries(CONSUMERS))("the source of %s", (env, consumer) => {
  let deployment: Deployment;

  beforeAll(async () => (deployment = await Deployment.start({ env, apply: false })));

  afterAll(() => deployment.stop());

  test.each(["postgres", "vault"])(
    "Terraform applies the stack %s, and has nothing more to do",
    async (stack) => {
      const options = {
        cwd: join(deployment.synthesized, "stacks", stack),
        env: environment(deployment, "operator"),
      };
      for (const args of [["init"], ["apply", "-auto-approve"]])
        expect(await run("terraform", [...args, "-no-color"], options)).toMatchObject({ code: 0 });
      expect(await plan(deployment, stack)).toMatchObject({ code: 0 });
    },
  );

  consumer(() => deployment);
});
