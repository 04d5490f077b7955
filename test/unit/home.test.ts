import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { Home } from "../../ops/deployment/home";
import { temporaryFolder } from "../support/folder";
import { asRoot } from "../support/skip";

const mode = (path: string) => statSync(path).mode & 0o777;

let base: ReturnType<typeof temporaryFolder>;
const environment = { ...process.env };

beforeEach(() => {
  base = temporaryFolder();
  process.env["XDG_CONFIG_HOME"] = base.folder;
});

afterEach(() => {
  jest.restoreAllMocks();
  process.env = { ...environment };
  base.remove();
});

test("is a folder of its owner's alone, whatever the umask", () => {
  const before = process.umask(0);
  try {
    const home = Home.open("local");
    expect(home.folder).toBe(join(base.folder, "leasehold", "local"));
    home.setToken("operator", "s.token");
    expect(mode(home.folder)).toBe(0o700);
    expect(mode(join(base.folder, "leasehold"))).toBe(0o700);
    expect(mode(join(home.folder, "operator-token"))).toBe(0o600);
  } finally {
    process.umask(before);
  }
});

test("reading makes no folder", () => {
  const home = Home.open("local");
  expect(home.token("verifier")).toBeUndefined();
  expect(home.unsealKeys()).toBeUndefined();
  expect(home.existing({ variable: "vault_manager_password", for: "manager-password" })).toBeUndefined();
  expect(
    home.existing({ variable: "postgres_password_file", for: "superuser-password-file", server: "postgres" }),
  ).toBeUndefined();
  expect(readdirSync(base.folder)).toEqual([]);
});

test("a relative XDG_CONFIG_HOME is ignored", () => {
  process.env["XDG_CONFIG_HOME"] = "here";
  jest.spyOn(os, "homedir").mockReturnValue(base.folder);
  expect(Home.open("local").folder).toBe(join(base.folder, ".config/leasehold/local"));
});

test.each(["", "../local", "a/b", ".", "-x"])("%j is no environment", (name) => {
  expect(() => Home.open(name)).toThrow(`environment: received ${JSON.stringify(name)}, allowed:`);
});

test("a password is random, one each, and stays", () => {
  const password = Home.open("local").password("vault_manager_password");
  expect(password).toMatch(/^[\w-]{32}$/);
  expect(Home.open("local").password("vault_manager_password")).toBe(password);
  expect(Home.open("local").password("postgres_superuser_password")).not.toBe(password);
  expect(Home.open("other").password("vault_manager_password")).not.toBe(password);
});

test("a variable of the environment's wins and is not kept", () => {
  process.env["TF_VAR_vault_manager_password"] = "given";
  const home = Home.open("local");
  expect(home.password("vault_manager_password")).toBe("given");
  expect(readdirSync(base.folder)).toEqual([]);
});

test("the password file holds the superuser's password alone and follows it", () => {
  const home = Home.open("local");
  const file = home.passwordFile("postgres", "postgres_superuser_password");
  expect(file).toBe(join(home.folder, "postgres-password"));
  expect(mode(file)).toBe(0o444);
  expect(readFileSync(file, "utf8")).toBe(home.password("postgres_superuser_password"));
  const before = statSync(file).ino;
  home.passwordFile("postgres", "postgres_superuser_password");
  // A bind mount follows the file, not its name.
  expect(statSync(file).ino).toBe(before);
  process.env["TF_VAR_postgres_superuser_password"] = "given";
  expect(readFileSync(home.passwordFile("postgres", "postgres_superuser_password"), "utf8")).toBe("given");
  expect(mode(file)).toBe(0o444);
});

test("tokens and keys: none at first, then what was set; the keys of before stay beside", () => {
  const home = Home.open("local");
  expect(home.token("planner")).toBeUndefined();
  expect(home.unsealKeys()).toBeUndefined();
  home.setToken("planner", "s.one");
  home.setToken("planner", "s.two");
  home.setUnsealKeys(["a", "b"]);
  home.setUnsealKeys(["c", "d", "e"]);
  const again = Home.open("local");
  expect(again.token("planner")).toBe("s.two");
  expect(again.unsealKeys()).toEqual(["c", "d", "e"]);
  expect(readFileSync(join(home.folder, "unseal-keys.previous"), "utf8")).toBe("a\nb");
  expect(readdirSync(home.folder).sort()).toEqual(["planner-token", "unseal-keys", "unseal-keys.previous"]);
});

describe("refuses, in one line,", () => {
  function made(): Home {
    const home = Home.open("local");
    home.setToken("planner", "s.token");
    return home;
  }

  test("a folder that others can read", () => {
    const { folder } = made();
    chmodSync(folder, 0o750);
    expect(() => Home.open("local")).toThrow(
      `${folder} holds secrets and is accessible to others (mode 0750): chmod go= ${folder}`,
    );
  });

  test("a parent that others can write", () => {
    made();
    const parent = join(base.folder, "leasehold");
    chmodSync(parent, 0o775);
    expect(() => Home.open("local")).toThrow(
      `${parent} holds secrets and is accessible to others (mode 0775): chmod go-w ${parent}`,
    );
  });

  test("a file that others can read", () => {
    const home = Home.open("local");
    home.setUnsealKeys(["a"]);
    const file = join(home.folder, "unseal-keys");
    chmodSync(file, 0o640);
    expect(() => home.unsealKeys()).toThrow(
      `${file} holds secrets and is accessible to others (mode 0640): chmod go= ${file}`,
    );
  });

  test("a link in place of a file, and in place of the folder", () => {
    const home = made();
    symlinkSync("/etc/hostname", join(home.folder, "operator-token"));
    expect(() => home.token("operator")).toThrow(/operator-token can't be used: ELOOP/);
    mkdirSync(join(base.folder, "elsewhere"), { mode: 0o700 });
    symlinkSync(join(base.folder, "elsewhere"), join(base.folder, "leasehold", "linked"));
    expect(() => Home.open("linked")).toThrow(/linked is not a folder: move it away/);
  });

  const { test: rootTest, because } = asRoot();
  rootTest(`a folder of somebody else's${because}`, () => {
    const { folder } = made();
    chownSync(folder, 1000, 1000);
    expect(() => Home.open("local")).toThrow(
      `${folder} belongs to another user (1000): run leasehold as that user`,
    );
  });
});
