import { parse, rulesFor, undeclaredRules } from "../../verify/vault/policies";

describe("a policy's lines", () => {
  test.each([
    ["HCL", 'path "a/b" {\n  capabilities = ["read", "list"]\n  min_wrapping_ttl = "5s"\n}\n'],
    [
      "HCL on one line, after a comment",
      '# path "x" { capabilities = ["sudo"] }\npath "a/b" { capabilities = ["read","list"] }',
    ],
    [
      "HCL with parameters",
      'path "a/b" { allowed_parameters = { "x" = [] }\n capabilities = ["read", "list"] }',
    ],
    ["JSON", '{"path": {"a/b": {"capabilities": ["read", "list"]}}}'],
  ])("%s", (_, text) => {
    expect(parse("p", text)).toEqual([{ policy: "p", path: "a/b", capabilities: ["read", "list"] }]);
  });

  test("the older spelling", () => {
    expect(parse("p", 'path "a" { policy = "read" }')).toEqual([
      { policy: "p", path: "a", capabilities: ["read"] },
    ]);
  });
});

test.each([
  ["a/b", "a/b", true],
  ["a/+", "a/b", true],
  ["a/+", "a/b/c", false],
  ["a/*", "a/b/c", true],
  ["a/b", "a/b/", true],
  ["a/b*", "a/bc", true],
  ["a+", "ab", false],
  ["a.b", "axb", false],
  ["*", "a/b", true],
])("a line for %s speaks of %s: %s", (path, asked, speaks) => {
  const rule = { policy: "p", path, capabilities: ["read"] };
  expect(rulesFor({ rules: [rule], unread: [], evidence: [] }, asked)).toEqual(speaks ? [rule] : []);
});

test("what is not declared: another path, more capabilities; a denial is nothing", () => {
  const rule = (path: string, ...capabilities: string[]) => ({ policy: "p", path, capabilities });
  const wide = [rule("b", "read"), rule("a", "read", "update")];
  const rules = [rule("a", "read"), rule("c", "deny"), ...wide];
  expect(undeclaredRules({ rules, unread: [], evidence: [] }, [rule("a", "read")])).toEqual(wide);
});
