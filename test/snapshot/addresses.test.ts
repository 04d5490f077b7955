import { loadEnvironment } from "../../config/load";
import { PROJECT_ENVIRONMENTS } from "../support/project-environments";
import { stackNames, stacks, synth } from "../support/synth";
import ADDRESSES from "./addresses.json";

/**
 * Every resource address of the project's environments. Another address means that Terraform destroys one resource and creates
 * another: change the list only together with a `moved` block or a note to those who have deployed.
 */
test.each(PROJECT_ENVIRONMENTS)("the addresses of %s", async (name) => {
  const environment = await loadEnvironment(name);
  const built = stacks(environment);
  const found = stackNames(environment).map((stack): [string, string[]] => [
    stack,
    [...synth(built[stack]).resources.keys()].sort(),
  ]);
  expect(Object.fromEntries(found)).toEqual(ADDRESSES[name]);
});
