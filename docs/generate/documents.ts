import { checksDocument } from "./checks";
import { configDocument } from "./config";
import { constructsDocument } from "./constructs";

/** The documents that are generated, each from what it describes, by the name of its file. */
export const DOCUMENTS: Readonly<Record<string, () => string>> = {
  "checks.md": checksDocument,
  "config.md": configDocument,
  "constructs.md": constructsDocument,
};
