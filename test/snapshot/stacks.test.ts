import { loadEnvironment } from "../../config/load";
import type { Environment } from "../../config/schema/schema";
import { loadTestEnvironment, testEnvironmentNames } from "../environments/load";
import { PROJECT_ENVIRONMENTS } from "../support/project-environments";
import { stackNames, stacks, synth } from "../support/synth";

/** The synthesized configuration of each environment: what a reviewer sees change. */
describe.each<[string, () => Promise<Environment>]>([
  ...PROJECT_ENVIRONMENTS.map((name): [string, () => Promise<Environment>] => [
    name,
    () => loadEnvironment(name),
  ]),
  ...testEnvironmentNames().map((name): [string, () => Promise<Environment>] => [
    name,
    () => loadTestEnvironment(name),
  ]),
])("the environment %s", (_, load) => {
  let environment: Environment;
  let built: ReturnType<typeof stacks>;

  beforeAll(async () => {
    environment = await load();
    built = stacks(environment);
  });

  test("its stacks", () => {
    for (const stack of stackNames(environment)) expect(synth(built[stack]).json).toMatchSnapshot(stack);
  });

  test("the trust model's policies", () => {
    for (const [who, policy] of Object.entries(built.vault.trust.texts()))
      expect(policy).toMatchSnapshot(who);
  });
});
