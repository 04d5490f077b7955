import type { LoggedInContext } from "../../verify/context";
import { Check } from "../../verify/report/check";
import { differences, parse, policiesAsDeclared, rulesFor } from "../../verify/vault/policies";

const rule = (path: string, ...capabilities: string[]) => ({ policy: "p", path, capabilities });

describe("a policy's rules", () => {
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
    ["a quoted keyword", '"path" "a/b" { "capabilities" = ["read", "list"] }'],
    ["no blank", 'path"a/b"{capabilities=["read","list"]}'],
    [
      "trailing comments",
      'path "a/b" { # } path "x" { capabilities = ["sudo"] }\n  capabilities = ["read", // "create",\n "list"] /* path "y" { capabilities = ["sudo"] } */ } # path "z" { capabilities = ["sudo"] }',
    ],
    [
      "a parameter of that name",
      'path "a/b" { capabilities = ["read", "list"]\n denied_parameters = { "policy" = ["x"] } }',
    ],
  ])("%s", (_, text) => {
    expect(parse("p", text)).toEqual({ rules: [rule("a/b", "read", "list")] });
  });

  test("several, one of them in the older spelling, and one that grants nothing", () => {
    expect(
      parse("p", 'path "a" { policy = "read" }\npath "b" {}\npath "c" { capabilities = ["list"] }'),
    ).toEqual({ rules: [rule("a", "read"), rule("b"), rule("c", "list")] });
  });

  test.each([
    ["another word", 'name = "x"\npath "b" {}', 'name = "x"\npath "b" {}'],
    ["a block without an end", 'path "b" { capabilities = ["read"]', 'path "b" { capabilities = ["read"]'],
    ["a heredoc", "path <<X\nb\nX\n{}", "path <<X\nb\nX\n{}"],
    ["paths as a map", 'path = { "b" = {} }', 'path = { "b" = {} }'],
  ])("%s ends them, and is told", (_, text, rest) => {
    expect(parse("p", `path "a" { capabilities = ["read"] }\n${text}`)).toEqual({
      rules: [rule("a", "read")],
      rest,
    });
  });

  test("an escape that JSON does not know", () => {
    expect(parse("p", String.raw`path "a\U0001F600" { capabilities = ["read"] }`)).toEqual({
      rules: [rule(String.raw`a\U0001F600`, "read")],
    });
  });

  test("JSON, which no policy of ours is, is not read", () => {
    const text = '{"path": {"a": {"capabilities": ["read"]}}}';
    expect(parse("p", text)).toEqual({ rules: [], rest: text });
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
])("a rule for %s speaks of %s: %s", (path, asked, speaks) => {
  expect(rulesFor({ rules: [rule(path, "read")] }, asked)).toEqual(speaks ? [rule(path, "read")] : []);
});

describe("a policy that is not as declared", () => {
  const DECLARED = 'path "a" {\n  capabilities = ["read"]\n}\n\npath "b" {\n  capabilities = ["update"]\n}\n';

  test("what is around the text is not looked at", () => {
    expect(differences("p", DECLARED, `\n${DECLARED.trim()}`)).toEqual([]);
  });

  test.each([
    [
      "another rule",
      `${DECLARED}"path" "secret/*" { capabilities = ["read"] }`,
      ['not declared: policy p: path "secret/*" [read]'],
    ],
    [
      "without a blank",
      `${DECLARED}path"secret/*"{capabilities=["read"]}`,
      ['not declared: policy p: path "secret/*" [read]'],
    ],
    [
      "more capabilities",
      DECLARED.replace('"read"', '"read", "list"'),
      ['not declared: policy p: path "a" [read, list]', 'declared and missing: policy p: path "a" [read]'],
    ],
    [
      "a denial",
      `${DECLARED}path "a/b" { capabilities = ["deny"] }`,
      ['not declared: policy p: path "a/b" [deny]'],
    ],
    [
      "a rule less",
      DECLARED.slice(0, DECLARED.indexOf('path "b"')),
      ['declared and missing: policy p: path "b" [update]'],
    ],
    [
      "a comment alone",
      `${DECLARED}# path "c" { capabilities = ["read"] }`,
      ['policy p is not as declared: # path "c" { capabilities = ["read"] }'],
    ],
    [
      "a parameter",
      DECLARED.replace('["update"]', '["update"]\n  allowed_parameters = {}'),
      ["policy p is not as declared: allowed_parameters = {}"],
    ],
    [
      "what can't be read",
      `${DECLARED}path = { "c" = {} }`,
      ['policy p can\'t be read from here on: path = { "c" = {} }'],
    ],
    [
      "nothing",
      "",
      [
        'declared and missing: policy p: path "a" [read]',
        'declared and missing: policy p: path "b" [update]',
      ],
    ],
  ])("%s", (_, found, findings) => {
    expect(differences("p", DECLARED, found)).toEqual(findings);
  });
});

test("a declared policy whose text the manifest does not hold is a finding: nothing can be compared", () => {
  const check = new Check();
  const context = {
    persona: { login: { policies: ["p"] }, policies: [] },
    token: { auth: { policies: ["p"] } },
    policies: { texts: new Map([["p", 'path "a" { capabilities = ["read"] }']]), evidence: [] },
  };
  policiesAsDeclared(context as unknown as LoggedInContext, check);
  expect(check.findings).toEqual(["the manifest has no text of policy p"]);
});
