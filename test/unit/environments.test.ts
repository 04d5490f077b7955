import { environmentNames, loadEnvironment } from "../../config/load";
import { PROJECT_ENVIRONMENTS } from "../support/project-environments";
import { stackNames, stacks, synth } from "../support/synth";

/** For files of your own in config/ too; the project's other tests know the project's alone. */
test.each(environmentNames())("config/%s.ts loads, and its stacks synthesize", async (name) => {
  const environment = await loadEnvironment(name);
  const built = stacks(environment);
  for (const stack of stackNames(environment)) expect(synth(built[stack]).resources.size).toBeGreaterThan(0);
});

test("the project's own are all there", () => {
  expect(environmentNames()).toEqual(expect.arrayContaining([...PROJECT_ENVIRONMENTS]));
});
