import { unless } from "../support/skip";
import { dockerMissing } from "./docker";

/** Whether the run is `npm run e2e -- --all`. */
export const isAll = Boolean(process.env["LEASEHOLD_E2E_ALL"]);
const notAsked = !isAll && "npm run e2e -- --all runs it";
// Once a run: a daemon that does not answer takes its time.
const noDocker = process.env["LEASEHOLD_E2E_WITHOUT_DOCKER"] || dockerMissing();

export const withAll = unless(notAsked);
export const inDocker = unless(noDocker);
export const inDockerWithAll = unless(notAsked || noDocker);
