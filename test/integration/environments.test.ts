import { ENVIRONMENTS, holds } from "../support/environment";

test.each(ENVIRONMENTS)(
  "the environment %s is as a real cdktf deploy leaves it, holds with its workload, and leaves nothing",
  async (env) => {
    await holds(env);
  },
);
