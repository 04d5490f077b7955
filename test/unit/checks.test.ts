import { describeChecks } from "../../verify/checks";

test("each check has an id of its own, and says what it proves in one sentence", () => {
  const checks = describeChecks();
  expect(checks.length).toBeGreaterThan(50);
  expect(new Set(checks.map(({ id }) => id)).size).toBe(checks.length);
  for (const { id, title, proves } of checks) {
    expect(id).toMatch(/^[a-z][a-zA-Z.-]*$/);
    expect(title).not.toBe("");
    expect(proves).toMatch(/^[A-Z][^.]*\.$/);
  }
});
