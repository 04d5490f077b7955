import { ENVIRONMENTS, holds } from "../support/environment";

// A file for each version, which take turns with the other tests: it is minutes of waiting.
test.each(ENVIRONMENTS)("the environment %s", async (env) => {
  await holds(env, { postgresMajor: 15 });
});
