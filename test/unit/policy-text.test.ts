import { policyText } from "../../sandbox/policy-text";

const template =
  'path "db/config/x" {\n  allowed_parameters = { "connection_url" = ["a@${var.host}:${var.port}/b"] }\n}\n';

test("each variable has its value, quoted as HCL quotes it", () => {
  const values: Record<string, string> = { host: 'a"b\\c\nd', port: "5432" };
  expect(policyText(template, (name) => values[name]!)).toBe(
    'path "db/config/x" {\n  allowed_parameters = { "connection_url" = ["a@a\\"b\\\\c\\nd:5432/b"] }\n}\n',
  );
});

test("a value that would make a pattern of a policy is refused", () => {
  expect(() => policyText(template, () => "*")).toThrow(
    'the variable host: received "*", allowed: a value without *, which in Vault\'s policies stands for any text',
  );
});
