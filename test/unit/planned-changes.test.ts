import { changesBeyond, parsePlan, type PlannedChanges } from "../../ops/terraform/planned-changes";

const of = (actions: string[], after: Record<string, unknown> | null = null): PlannedChanges => ({
  "postgresql_role.a": { actions, after },
});
const BEYOND = ["postgresql_role.a"];

test("what a plan changes is by resource, without what it leaves or reads", () => {
  const change = (address: string, ...actions: string[]) => ({
    address,
    change: { actions, before: {}, after: { name: "a" } },
  });
  const resource_changes = [change("a.a", "no-op"), change("a.b", "read"), change("a.c", "create")];
  expect(parsePlan(JSON.stringify({ resource_changes }))).toEqual({
    "a.c": { actions: ["create"], after: { name: "a" } },
  });
  expect(parsePlan("{}")).toEqual({});
});

test.each<[string, PlannedChanges, PlannedChanges, string[]]>([
  ["the same", of(["update"], { name: "a" }), of(["update"], { name: "a" }), []],
  ["less: a step has done it", of(["delete"]), {}, []],
  [
    "a replacement of which one half is done",
    of(["delete", "create"], { name: "a" }),
    of(["create"], { name: "a" }),
    [],
  ],
  [
    "an update of what a step has taken over",
    of(["create"], { name: "a" }),
    of(["update"], { name: "a", id: "a" }),
    [],
  ],
  ["another resource", {}, of(["update"], {}), BEYOND],
  ["another action", of(["update"], {}), of(["delete"]), BEYOND],
  ["another value", of(["update"], { roles: ["a"] }), of(["update"], { roles: ["a", "b"] }), BEYOND],
])("%s", (_, approved, now, beyond) => {
  expect(changesBeyond(approved, now)).toEqual(beyond);
});
