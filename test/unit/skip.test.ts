import { skippedBy, unless } from "../support/skip";

test("what can run has its own name", () => {
  expect(unless(false)).toEqual({ test, describe, because: "" });
  expect(unless(undefined)).toEqual({ test, describe, because: "" });
});

test("what can't is skipped, and each reason is counted once, whichever of its names has it", () => {
  const docker = unless("Docker does not answer (no reason given); start its daemon");
  expect(docker).toMatchObject({ test: test.skip, describe: describe.skip });
  const root = unless("only root can");
  const platform = { ancestorTitles: [`the platform${docker.because}`] };
  expect(
    skippedBy([
      { ...platform, title: "deploys" },
      { ...platform, title: `deploys on PostgreSQL 15${root.because}` },
      { ancestorTitles: [], title: `a folder of somebody else's${root.because}` },
      { ancestorTitles: [], title: "another (of several)" },
    ]),
  ).toEqual([
    "     2  Docker does not answer (no reason given); start its daemon",
    "     1  no reason given: another (of several)",
    "     1  only root can",
  ]);
});
