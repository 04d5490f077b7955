import { TerraformStack, TerraformVariable, Token } from "cdktf";
import { Construct } from "constructs";
import { Duration } from "../../constructs/duration";
import { spell } from "../../constructs/manifest";
import {
  checkName,
  isName,
  POSTGRES_DATABASE,
  POSTGRES_IDENTIFIER,
  POSTGRES_ROLE,
  VAULT_AUTH_PATH,
  VAULT_MOUNT_PATH,
  VAULT_NAME,
  VAULT_POLICY_NAME,
} from "../../constructs/names";
import { Secret } from "../../constructs/secret";
import { PolicyDocument } from "../../constructs/vault/policy-document";
import { functionBody, statements } from "../../constructs/sql";
import { synth, testApp } from "../support/synth";

describe("Duration", () => {
  test.each([
    ["30s", 30],
    ["20m", 1200],
    ["24h", 86_400],
    ["7d", 604_800],
  ])("%s is %d seconds, and is written as it was", (text, seconds) => {
    const duration = Duration.parse(text)!;
    expect(duration.toSeconds()).toBe(seconds);
    expect(Duration.parse(duration.toString())!.toSeconds()).toBe(seconds);
  });

  test.each(["", "0s", "-1h", "1.5h", "1 h", "h", "10", "1h30m", "1y", "9999999999s", " 1h", "1h\n"])(
    "%j is no duration",
    (text) => {
      expect(Duration.parse(text)).toBeUndefined();
    },
  );

  test("is written in the largest unit that holds it whole", () => {
    expect(Duration.minutes(90).toString()).toBe("90m");
    expect(Duration.seconds(86_400).toString()).toBe("1d");
  });

  test("a Token passes, and Terraform does the sum", () => {
    const stack = new TerraformStack(testApp(), "test");
    const known = new TerraformVariable(stack, "known", { type: "number" }).numberValue;
    const spelled = (value: unknown) => spell(stack, value);
    expect(spelled(Duration.seconds(known).toSeconds())).toBe("${var.known}");
    expect(spelled(Duration.hours(known).toSeconds())).toBe("${(var.known * 3600)}");
    expect(spelled(Duration.minutes(known).toString())).toBe("${(var.known * 60)}s");
    expect(Duration.seconds(known).isShorterThan(Duration.seconds(1))).toBe(false);
    expect(Duration.seconds(1).isShorterThan(Duration.seconds(known))).toBe(false);
  });

  test.each([0, -1, 0.5, NaN, Infinity])("%d seconds is refused with the value", (amount) => {
    expect(() => Duration.seconds(amount)).toThrow(
      `a duration must be a positive whole number of seconds, received ${String(amount)}`,
    );
  });
});

describe("names", () => {
  test("a Token passes, since its value is not known yet", () => {
    expect(checkName(VAULT_NAME, "name", Token.asString({ resolve: () => "later" }))).toContain("TOKEN");
  });

  test("the message names the field and the value", () => {
    expect(() => checkName(POSTGRES_IDENTIFIER, "schema", 'x"; DROP')).toThrow(
      /^schema \("x\\"; DROP"\) must be a PostgreSQL identifier/,
    );
  });

  test.each([
    [POSTGRES_IDENTIFIER, "a".repeat(63), true],
    [POSTGRES_IDENTIFIER, "a".repeat(64), false],
    [POSTGRES_IDENTIFIER, "Mixed_Case-1", true],
    [POSTGRES_IDENTIFIER, "public", true],
    [POSTGRES_ROLE, "public", false],
    [POSTGRES_ROLE, "publican", true],
    [POSTGRES_ROLE, "none", false],
    [POSTGRES_ROLE, "pg_monitor", false],
    [VAULT_NAME, "a/b", false],
    [VAULT_NAME, "a*", false],
    [VAULT_NAME, "+", false],
    [VAULT_NAME, "a", true],
    [VAULT_NAME, "a-_", true],
    [VAULT_NAME, "a-", false],
    [VAULT_NAME, "a\n", false],
    [POSTGRES_ROLE, "v-token-x", false],
    [POSTGRES_DATABASE, "template0", false],
    [POSTGRES_DATABASE, "template", true],
    [VAULT_POLICY_NAME, "root", false],
    [VAULT_POLICY_NAME, "default", false],
    [VAULT_POLICY_NAME, "response-wrapping", false],
    [VAULT_POLICY_NAME, "roots", true],
    [VAULT_MOUNT_PATH, "sys", false],
    [VAULT_MOUNT_PATH, "identity/oidc", false],
    [VAULT_MOUNT_PATH, "system", true],
    [VAULT_AUTH_PATH, "token/create", false],
    [VAULT_AUTH_PATH, "tokens", true],
    [VAULT_MOUNT_PATH, "team/database", true],
    [VAULT_MOUNT_PATH, "team//database", false],
    [VAULT_MOUNT_PATH, "team/+", false],
  ])("%#: %j", (rule, value, expected) => {
    expect(isName(rule, value)).toBe(expected);
  });
});

describe("statements", () => {
  const values = {
    ...{ group: "readonly_role", schemas: ["example"], heir: "readonly_role" },
    ...{ limit: 20, mark: "leasehold local nanvc" },
  };

  test("put quoted identifiers, literals and numbers for our placeholders and leave Vault's", () => {
    expect(statements("createrole/creation.sql", values)).toEqual([
      `SET LOCAL lock_timeout = '5s';
CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' CONNECTION LIMIT 20;
ALTER ROLE "{{name}}" SET search_path = "example";
ALTER ROLE "{{name}}" SET role = "readonly_role";
COMMENT ON ROLE "{{name}}" IS 'leasehold local nanvc';
GRANT "readonly_role" TO "{{name}}";`,
    ]);
  });

  test("put several identifiers for a list", () => {
    const [sql] = statements("createrole/creation.sql", { ...values, schemas: ["public", "Order-items"] });
    expect(sql).toContain(`SET search_path = "public", "Order-items";`);
    expect(() => statements("createrole/creation.sql", { ...values, schemas: ["a", 'b"'] })).toThrow(
      'schemas ("b\\"") must be a PostgreSQL identifier',
    );
  });

  test("hold no comment, at whose semicolons Vault would split", () => {
    const files = ["creation", "renewal", "revocation", "rotation"];
    for (const file of files.flatMap((name) => [`createrole/${name}.sql`, `functions/${name}.sql`])) {
      expect(statements(file, values).join("\n")).not.toContain("--");
    }
  });

  test("want a value for each placeholder", () => {
    expect(() => statements("createrole/revocation.sql", { group: "a" })).toThrow(
      `sql/createrole/revocation.sql wants a value for :"heir"`,
    );
    const { mark: _, ...unmarked } = values;
    expect(() => statements("createrole/creation.sql", unmarked)).toThrow(
      "sql/createrole/creation.sql wants a value for :'mark'",
    );
  });

  test.each(['a" ; DROP ROLE x; --', "a$revocation$", "{{name}}", "${x}", "a'b"])(
    "refuse %j as an identifier",
    (heir) => {
      expect(() => statements("createrole/revocation.sql", { ...values, heir })).toThrow(
        /^heir \(.*\) must be a PostgreSQL identifier/,
      );
    },
  );

  test("refuse what would end a literal, and what is no number", () => {
    expect(() => statements("createrole/creation.sql", { ...values, mark: "a' IS" })).toThrow(
      `mark ("a' IS") must be plain text`,
    );
    expect(() => statements("createrole/creation.sql", { ...values, limit: "20; x" })).toThrow(
      "limit (20; x) must be a whole number",
    );
  });
});

test.each([
  [{ group: "a'b" }, `role ("a'b") must be a PostgreSQL identifier`],
  [{ heir: "none" }, 'role ("none") must be a PostgreSQL identifier'],
  [{ schema: "a b" }, 'schema ("a b") must be a PostgreSQL identifier'],
])("a function's list refuses %j", (wrong, message) => {
  const row = { group: "a", heir: "b", schema: "c", connectionLimit: 1, ...wrong };
  expect(() => functionBody("open", { groups: [row], logins: [], caller: "v", mark: "m" })).toThrow(message);
});

test("a function's search path goes on with the further schemas", () => {
  const body = (furtherSchemas?: string[]) =>
    functionBody("open", { groups: [], furtherSchemas, logins: [], caller: "v", mark: "m" });
  expect(body()).toContain("pg_catalog.concat('search_path=', pg_catalog.quote_ident(declared.schema)),");
  expect(body(["b", "C-d"])).toContain(
    "pg_catalog.quote_ident(declared.schema), ', ', pg_catalog.quote_ident('b'), ', ', pg_catalog.quote_ident('C-d')),",
  );
  expect(() => body(["b'"])).toThrow('schema ("b\'") must be a PostgreSQL identifier');
});

test("a function's mark is plain text, and a static login a role's name", () => {
  expect(() => functionBody("open", { groups: [], logins: [], caller: "v", mark: "a'" })).toThrow(
    "must be plain text",
  );
  expect(() => functionBody("set_password", { groups: [], logins: ["a'"], caller: "v", mark: "m" })).toThrow(
    'role ("a\'") must be',
  );
});

describe("PolicyDocument", () => {
  test("writes HCL, a path once, with what was added to it", () => {
    const document = new PolicyDocument();
    document.allow(
      { path: "a/b", capabilities: ["read"] },
      {
        path: "c",
        capabilities: ["update"],
        wrapping: { min: Duration.seconds(5), max: Duration.minutes(5) },
      },
    );
    document.allow({ path: "a/b", capabilities: ["list", "read"] });
    expect(document.toString()).toBe(
      'path "a/b" {\n  capabilities = ["read", "list"]\n}\n\npath "c" {\n  capabilities = ["update"]\n  min_wrapping_ttl = "5s"\n  max_wrapping_ttl = "5m"\n}\n',
    );
  });

  test("what is allowed twice on a path is merged as Vault merges two policies", () => {
    const document = new PolicyDocument();
    document.allow({
      path: "a",
      capabilities: ["update"],
      wrapping: { min: Duration.seconds(5), max: Duration.minutes(5) },
      parameters: { type: ["x"], free: [], both: ["1"] },
      denied: { type: ["y"] },
    });
    document.allow({ path: "a", capabilities: ["read"] });
    document.allow({
      path: "a",
      capabilities: ["update"],
      wrapping: { min: Duration.seconds(9), max: Duration.minutes(1) },
      parameters: { free: ["z"], both: ["2"] },
    });
    expect(document.toString()).toBe(`path "a" {
  capabilities = ["update", "read"]
  min_wrapping_ttl = "5s"
  max_wrapping_ttl = "1m"
  allowed_parameters = {
    "type" = ["x"]
    "free" = []
    "both" = ["1","2"]
  }
  denied_parameters = {
    "type" = ["y"]
  }
}
`);
  });
});

test("a secret's variable is called as it says, wherever it is used, and a stack has it once", () => {
  const stack = new TerraformStack(testApp(), "test");
  const secret = Secret.fromVariable("a_password", { for: "manager-password", description: "secret" });
  const below = new Construct(stack, "Below");
  expect(spell(stack, [secret.referenceIn(below), secret.referenceIn(stack)])).toEqual([
    "${var.a_password}",
    "${var.a_password}",
  ]);
  expect((synth(stack).json as { variable: object }).variable).toEqual({
    a_password: { description: "secret", ephemeral: true, sensitive: true, type: "string" },
  });
});
