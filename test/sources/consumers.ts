import type { Deployment } from "../support/deployment";
import { approle } from "./approle";
import { local } from "./local";
import { marmelab } from "./marmelab";
import { tutorial } from "./tutorial";

/** The consumer's half of each source (docs/sources.md): tests that are its steps, in order, on what its environment deploys. */
export const CONSUMERS: Readonly<Record<string, (site: () => Deployment) => void>> = {
  local,
  marmelab,
  tutorial,
  approle,
};
