import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readPlatform } from "../../ops/docker/platform";
import { stacks, synth } from "../support/synth";

describe("the platform's names, as synthesized", () => {
  const folder = mkdtempSync(join(tmpdir(), "leasehold-unit-"));
  mkdirSync(join(folder, "stacks/platform"), { recursive: true });
  writeFileSync(join(folder, "stacks/platform/cdk.tf.json"), synth(stacks().platform).text);
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  test.each([
    ["by default", {}, "leasehold-local"],
    ["with a variable", { TF_VAR_platform_name: "mine" }, "mine"],
  ])("%s", (_, variables, name) => {
    expect(readPlatform(folder, variables)).toEqual({
      containers: [`${name}-postgres`, `${name}-vault`],
      volumes: [`${name}-postgres-data`],
    });
  });
});
