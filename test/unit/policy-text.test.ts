import { policyText } from "../../sandbox/policy-text";

const template =
  'path "db/config/x" {\n  allowed_parameters = { "connection_url" = ["a@${var.host}:${var.port}/b"] }\n}\n';

test("each variable has its value, quoted as HCL quotes it", () => {
  const values: Record<string, string> = { host: 'a"b\\c\nd', port: "5432" };
  expect(policyText(template, (name) => values[name]!)).toBe(
    'path "db/config/x" {\n  allowed_parameters = { "connection_url" = ["a@a\\"b\\\\c\\nd:5432/b"] }\n}\n',
  );
});

test.each(["*", "${x}"])(
  "%s, which would make a pattern or an expression of a policy, is refused",
  (value) => {
    expect(() => policyText(template, () => value)).toThrow(
      `the variable host: received "${value}", allowed: a value without * and \${, which in Vault's policies stand for any text and for an expression`,
    );
  },
);
