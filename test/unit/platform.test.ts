import { declaredPlatform } from "../../ops/docker/platform";
import { Deployment } from "../../ops/deployment/deployment";
import { synthesizeApp } from "../../stacks/app";
import { temporaryFolder } from "../support/folder";
import { environment } from "../support/synth";

describe("the platform's names, as synthesized", () => {
  const { folder, remove } = temporaryFolder();
  synthesizeApp(environment(), folder);
  afterAll(remove);
  afterEach(() => {
    delete process.env["TF_VAR_platform_name"];
  });

  test.each([
    ["by default", undefined, "leasehold-local"],
    ["with a variable", "mine", "mine"],
  ])("%s", (_, variable, name) => {
    if (variable) process.env["TF_VAR_platform_name"] = variable;
    expect(declaredPlatform(Deployment.read(folder)!)).toEqual({
      containers: [`${name}-postgres`, `${name}-vault`],
      volumes: [`${name}-postgres-data`],
    });
  });
});
