import { accessManifest } from "../../stacks/access-manifest";
import { environment, stacks, synth } from "../unit/synth";

/** The synthesized configuration of the environment local: what a reviewer sees change. */
const built = stacks();

test.each(["platform", "postgres", "vault"] as const)("the stack %s", (stack) => {
  expect(synth(built[stack]).json).toMatchSnapshot();
});

test("the operator's policy", () => {
  expect(built.vault.operatorPolicy.toString()).toMatchSnapshot();
});

test("the access manifest", () => {
  expect(accessManifest(environment())).toMatchSnapshot();
});
