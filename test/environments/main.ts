import { synthesizeApp } from "../../stacks/app";
import { loadTestEnvironment } from "./load";

/** As the project's main.ts, for an environment that only tests have: `cdktf --app "node --import tsx test/environments/main.ts"`. */
void loadTestEnvironment(process.env["LEASEHOLD_ENV"]!).then((environment) => {
  synthesizeApp(environment);
});
