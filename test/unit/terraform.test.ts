import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isBackendOf } from "../../ops/terraform/terraform";
import { temporaryFolder } from "../support/folder";

/** As Terraform 1.11 records it: what was not set is null, inside of an object too. */
const recorded = {
  bucket: "states",
  region: null,
  endpoints: null,
  assume_role: { role_arn: "arn:aws:iam::1:role/deploy", duration: null, transitive_tag_keys: ["team"] },
};

test.each<[boolean, Record<string, unknown>]>([
  [
    true,
    {
      bucket: "states",
      assume_role: { role_arn: "arn:aws:iam::1:role/deploy", transitive_tag_keys: ["team"] },
    },
  ],
  [false, { bucket: "states" }],
  [
    false,
    {
      bucket: "states",
      assume_role: { role_arn: "arn:aws:iam::2:role/deploy", transitive_tag_keys: ["team"] },
    },
  ],
  [
    false,
    { bucket: "states", assume_role: { role_arn: "arn:aws:iam::1:role/deploy", transitive_tag_keys: [] } },
  ],
  [false, { bucket: "states", assume_role: { role_arn: "arn:aws:iam::1:role/deploy" } }],
])("that a folder is initialised for its backend is %s of %j", (isInitialised, wanted) => {
  const { folder, remove } = temporaryFolder();
  mkdirSync(join(folder, ".terraform"));
  writeFileSync(
    join(folder, ".terraform/terraform.tfstate"),
    JSON.stringify({ version: 3, backend: { type: "s3", config: recorded } }),
  );
  expect(isBackendOf(folder, { backend: { s3: wanted }, required_providers: {} })).toBe(isInitialised);
  remove();
});
