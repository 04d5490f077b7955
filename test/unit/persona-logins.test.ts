import { accessManifestSchema } from "../../manifest/schema";
import { loginMethod } from "../../verify/login/login";

const common = { authMount: "auth", name: "app", policies: ["app"], tokenTtl: 60, tokenMaxTtl: 120 };

/** What the manifest of a persona that logs in so is parsed to. */
function parsed(login: object) {
  const nothing = { database: [], schema: [], tables: [], sequences: [], functions: [] };
  const databaseRole = { name: "app", defaultTtl: 60, maxTtl: 120 };
  const personas = [{ name: "app", groupRole: "app", privileges: nothing, databaseRole, ...login }];
  const vault = { mount: "database", connection: "app" };
  const databases = [{ name: "app", schema: "app", owner: "owner", vault, personas }];
  return accessManifestSchema.safeParse({ version: 1, environment: "test", databases });
}

function persona(login: object) {
  const { data, error } = parsed(login);
  if (!data) throw error;
  return data.databases[0]!.personas[0]!;
}

test("access.json's `appRole` is a login of the kind approle, with what is an AppRole's own", () => {
  const { login } = persona({ appRole: { ...common, secretIdUses: 3 } });
  expect(login).toEqual({ kind: "approle", ...common, secretIdUses: 3 });
});

test("another kind's own fields are let through, and the verifier says which kinds it knows", () => {
  const other = persona({ login: { kind: "jwt", ...common, audience: "vault" } });
  expect(other.login).toEqual({ kind: "jwt", ...common, audience: "vault" });
  expect(() => loginMethod(other)).toThrow("app logs in with jwt, allowed: approle");
});

test("what is wrong with a kind's own fields is said before anything is made", () => {
  const wrong = persona({ appRole: { ...common, secretIdUses: "many" } });
  expect(() => loginMethod(wrong)).toThrow(/^the login of app: secretIdUses: Invalid input/);
});

test("a persona without a login is refused", () => {
  expect(parsed({}).error?.issues).toMatchObject([
    { path: ["databases", 0, "personas", 0, "login"], message: "it has to say how the persona logs in" },
  ]);
});
