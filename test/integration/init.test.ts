import { chmodSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { loadEnvironment } from "../../config/load";
import { TRUST_TOKENS, type TrustToken } from "../../manifest/names";
import { Home } from "../../ops/deployment/home";
import { checkOperator, prepareVault, type Explicit, type VaultTarget } from "../../ops/vault/prepare";
import { endTrust, hasTrust } from "../../ops/vault/trust-end";
import { generateRootToken } from "../../ops/vault/root-token";
import { policyText } from "../../sandbox/policy-text";
import { SetupError } from "../../clients/setup-error";
import { readConfiguration } from "../../sandbox/terraform-json";
import { vaultBinary } from "../../sandbox/vault-binary";
import { stopChild, Workspace } from "../../sandbox/workspace";
import { freePort } from "../../sandbox/free-port";
import { synthesizeApp } from "../../stacks/app";
import { accessManifestSchema } from "../../manifest/schema";
import { VaultClient } from "../../clients/vault-client";
import { temporaryFolder } from "../support/folder";
import { answering, KeptVault } from "../support/kept-vault";
import { eventually, processesWith, Program, ROOT } from "../support/program";
import { onOpenBao } from "../support/skip";

/** `leasehold init` and a deploy's step, on a Vault of each test's own. */
const environment = { ...process.env };

let workspace: Workspace;
let policies: VaultTarget["policies"];
let manifest: VaultTarget["manifest"];
let personaPolicies: VaultTarget["personaPolicies"];
let base: ReturnType<typeof temporaryFolder>;
let vault: KeptVault | undefined;

beforeAll(async () => {
  workspace = await Workspace.create();
  synthesizeApp(await loadEnvironment("local"), workspace.path("cdktf.out"));
  const { variables } = readConfiguration(workspace.path("cdktf.out/stacks/vault/cdk.tf.json"));
  const defaultOf = (name: string) => {
    const { default: value } = variables.get(name)!;
    return typeof value === "string" ? value : JSON.stringify(value);
  };
  const text = (who: TrustToken) =>
    policyText(readFileSync(workspace.path(`cdktf.out/${who}.hcl`), "utf8"), defaultOf);
  policies = {
    operator: text("operator"),
    planner: text("planner"),
    deliverer: text("deliverer"),
    verifier: text("verifier"),
  };
  manifest = accessManifestSchema.parse(
    JSON.parse(readFileSync(workspace.path("cdktf.out/access.json"), "utf8")),
  );
  const own = manifest.databases[0]!.personas.flatMap((persona) => persona.policies);
  personaPolicies = Object.fromEntries(own.map(({ name, text }) => [name, policyText(text!, defaultOf)]));
});

beforeEach(() => {
  base = temporaryFolder();
  process.env["XDG_CONFIG_HOME"] = base.folder;
  delete process.env["VAULT_TOKEN"];
});

afterEach(async () => {
  jest.restoreAllMocks();
  await vault?.stop();
  vault = undefined;
  process.env = { ...environment };
  base.remove();
});

afterAll(() => {
  workspace.remove();
});

async function setUp(
  options: Parameters<typeof KeptVault.start>[1] = {},
  [shares, threshold] = [1, 1],
): Promise<VaultTarget> {
  vault = await KeptVault.start(workspace, options);
  return {
    vault: new VaultClient(vault.address),
    home: Home.open("local"),
    manifest: { ...manifest, vault: { shares, threshold, tls: false } },
    policies,
    personaPolicies,
    deployed: () => Promise.resolve({ marks: [], names: [], dropped: [] }),
    isContainer: true,
  };
}

const explicit: Explicit = {};
const changed = (target: VaultTarget, who: TrustToken, text: string): VaultTarget => ({
  ...target,
  policies: { ...target.policies, [who]: text },
});
const as = ({ vault, home }: VaultTarget, who: TrustToken) => vault.withToken(home.token(who));
const lookup = async (client: VaultClient) => client.request("GET", "auth/token/lookup-self");
const tokens = ({ home }: VaultTarget) => TRUST_TOKENS.map((who) => home.token(who)!);

/** A root token, made and kept apart, for what a test does by hand. */
async function asRoot(target: VaultTarget): Promise<VaultClient> {
  return target.vault.withToken(await rootTokenOf(target));
}

function rootTokenOf(target: VaultTarget): Promise<string> {
  return generateRootToken(target.vault, as(target, "operator"), target.home.unsealKeys()!.slice(0, 3));
}

/** The tokens are what they should be, and no root token is left. */
async function holds(target: VaultTarget): Promise<void> {
  for (const who of TRUST_TOKENS) {
    const { status, body } = await lookup(as(target, who));
    expect(status).toBe(200);
    expect(body.data).toMatchObject({
      policies: [`leasehold-local-${who}`],
      orphan: true,
      period: 2_764_800,
      renewable: true,
    });
  }
  expect(existsSync(join(target.home.folder, "root-token"))).toBe(false);
  for (const file of readdirSync(target.home.folder))
    expect([file, statSync(join(target.home.folder, file)).mode & 0o777]).toEqual([file, 0o600]);
  for (const who of TRUST_TOKENS) {
    const policy = await as(target, "operator").call("GET", `sys/policies/acl/leasehold-local-${who}`);
    expect(policy.data!["policy"]).toBe(target.policies[who]);
  }
}

test("1 of 1: initialises, unseals, makes the policy and the tokens, revokes the root token; then nothing is to do", async () => {
  const target = await setUp();
  const seen = jest.spyOn(Home.prototype, "setRootToken");
  const { operator, did } = await prepareVault(target);
  expect(did).toEqual([
    `initialised the Vault at ${vault!.address}: 1 unseal key, of which it needs 1, in ${target.home.folder}/unseal-keys`,
    "unsealed with 1 of 1 keys",
    `wrote the policies ${TRUST_TOKENS.map((who) => `leasehold-local-${who}`).join(", ")}`,
    `made operator, planner, deliverer, verifier: a token each, in ${target.home.folder}`,
    "the root token is revoked",
  ]);
  await holds(target);
  expect((await operator.request("GET", "sys/mounts/database")).status).not.toBe(403);
  const rootToken = seen.mock.calls[0]![0];
  expect((await lookup(target.vault.withToken(rootToken))).status).toBe(403);

  const before = tokens(target);
  expect((await prepareVault(target)).did).toEqual([]);
  expect((await prepareVault(target, explicit)).did).toEqual([
    "renewed the tokens; there was nothing else to do",
  ]);
  expect(tokens(target)).toEqual(before);
});

test("5 of 3: a killed Vault that kept its storage is unsealed with three keys, the tokens stay", async () => {
  const target = await setUp({ onDisk: true }, [5, 3]);
  expect((await prepareVault(target)).did).toContain("unsealed with 3 of 5 keys");
  expect(target.home.unsealKeys()).toHaveLength(5);
  const before = tokens(target);
  await vault!.restart();
  expect((await prepareVault(target)).did).toEqual(["unsealed with 3 of 5 keys"]);
  expect(tokens(target)).toEqual(before);
  await holds(target);
});

test("a Vault in memory that was started again is initialised anew, and the keys of before are kept beside", async () => {
  const target = await setUp();
  await prepareVault(target);
  const [keys, before] = [target.home.unsealKeys()!, tokens(target)];
  await vault!.restart();
  expect((await prepareVault(target)).did).toHaveLength(5);
  await holds(target);
  expect(tokens(target).filter((token) => before.includes(token))).toEqual([]);
  expect(readFileSync(join(target.home.folder, "unseal-keys.previous"), "utf8")).toBe(keys[0]);
});

test("sealed, and keys are missing: one line says how many; on a terminal it asks for those", async () => {
  const target = await setUp({ onDisk: true }, [5, 3]);
  await prepareVault(target);
  await vault!.restart();
  const keys = target.home.unsealKeys()!;
  target.home.setUnsealKeys(keys.slice(0, 1));
  const line = `the Vault at ${vault!.address} is sealed, and ${target.home.folder}/unseal-keys holds 1 of the 3 unseal keys that it needs: put them there, one per line, or run npx leasehold init on a terminal, which asks for them`;
  await expect(prepareVault(target)).rejects.toThrow(line);
  await expect(prepareVault(target, explicit)).rejects.toThrow(line);
  const ask = jest.fn((question: string) => Promise.resolve(keys[Number(/\d/.exec(question)![0])]!));
  expect((await prepareVault(target, { ask })).did).toContain("unsealed with 3 of 5 keys");
  expect(ask.mock.calls).toEqual([["Unseal key 2 of 3: "], ["Unseal key 3 of 3: "]]);
});

test("keys that others can read are not taken", async () => {
  const target = await setUp({ onDisk: true });
  await prepareVault(target);
  await vault!.restart();
  const file = join(target.home.folder, "unseal-keys");
  chmodSync(file, 0o644);
  await expect(prepareVault(target)).rejects.toThrow(
    `${file} holds secrets and is accessible to others (mode 0644): chmod go= ${file}`,
  );
});

test("keys on file that others can read: no Vault is initialised whose keys would have no place", async () => {
  const target = await setUp();
  await prepareVault(target);
  chmodSync(target.home.unsealKeysFile, 0o644);
  await vault!.restart();
  await expect(prepareVault(target)).rejects.toThrow(/unseal-keys holds secrets and is accessible to others/);
  expect(await target.vault.call("GET", "sys/seal-status")).toMatchObject({ initialized: false });
});

test("a token that can't be kept: the root token stays on file, and the next run goes on with it", async () => {
  const target = await setUp();
  jest.spyOn(Home.prototype, "setToken").mockImplementationOnce(() => {
    throw new SetupError("no room");
  });
  await expect(prepareVault(target)).rejects.toThrow("no room");
  expect((await prepareVault(target)).did).toContain("the root token is revoked");
  await holds(target);
});

test("keys of another Vault are said to be, and what somebody else sent before does no harm", async () => {
  const target = await setUp({ onDisk: true }, [5, 3]);
  await prepareVault(target);
  await vault!.restart();
  const keys = target.home.unsealKeys()!;
  const wrong = Buffer.alloc(33, 7).toString("base64");
  target.home.setUnsealKeys([keys[0]!, keys[1]!, wrong]);
  await expect(prepareVault(target)).rejects.toThrow(
    `the unseal keys in ${target.home.folder}/unseal-keys are not those of the Vault at ${vault!.address}, which stays sealed`,
  );
  target.home.setUnsealKeys(keys);
  await target.vault.call("PUT", "sys/unseal", { key: wrong });
  expect((await prepareVault(target)).did).toEqual(["unsealed with 3 of 5 keys"]);
});

describe("keys for the user's own keeping", () => {
  test("are handed over before the root token is used, and stored nowhere", async () => {
    const target = await setUp({}, [5, 3]);
    let shown: readonly string[] = [];
    const onKeys = (keys: readonly string[]) => {
      shown = keys;
      expect(readdirSync(target.home.folder)).toEqual([]);
    };
    const { did } = await prepareVault(target, { onKeys });
    expect(did[0]).toMatch(/5 unseal keys, of which it needs 3, shown above and stored nowhere/);
    expect(shown).toHaveLength(5);
    for (const file of readdirSync(target.home.folder))
      for (const key of shown)
        expect(readFileSync(join(target.home.folder, file), "utf8")).not.toContain(key);
    await holds(target);
  });

  test("are shown where they can't be written, with the root token, rather than lost", async () => {
    const target = await setUp();
    jest.spyOn(Home.prototype, "setUnsealKeys").mockImplementation(() => {
      throw new Error("disk full");
    });
    const stderr = jest.spyOn(console, "error").mockImplementation(() => undefined);
    await expect(prepareVault(target)).rejects.toThrow("disk full");
    const text = stderr.mock.calls.flat().join("\n");
    const [, key, rootToken] = /Unseal Key 1: (\S+)\n[^]*Root token: (\S+)/.exec(text)!;
    jest.restoreAllMocks();
    target.home.setUnsealKeys([key!]);
    process.env["VAULT_TOKEN"] = rootToken;
    expect((await prepareVault(target)).did).toContain("unsealed with 1 of 1 keys");
    await holds(target);
  });
});

test("killed before any request, and after any answer, it ends well when it is run again", async () => {
  // The one point where the keys exist in Vault's answer alone.
  const lost = "after PUT sys/init";
  const request: VaultClient["request"] = Reflect.get(VaultClient.prototype, "request");
  const points: string[] = [];
  for (let n = 1; ; n += 1) {
    for (const when of ["before", "after"] as const) {
      const target = await setUp({}, [3, 2]);
      let count = 0;
      let point = "";
      jest.spyOn(VaultClient.prototype, "request").mockImplementation(async function (
        this: VaultClient,
        ...args
      ) {
        count += 1;
        if (count < n) return request.apply(this, args);
        if (count === n && when === "after") await request.apply(this, args);
        point ||= `${when} ${args[0]} ${args[1]}`;
        throw new Error("killed");
      });
      const done = await prepareVault(target, explicit).then(
        () => true,
        () => false,
      );
      jest.restoreAllMocks();
      if (done) {
        expect(points.length).toBeGreaterThan(20);
        return;
      }
      points.push(point);
      const again = prepareVault(target, explicit);
      if (point === lost) await expect(again).rejects.toThrow(/holds 0 of the 2 unseal keys/);
      else {
        await again.catch((error: unknown) => {
          throw new Error(`killed ${point}: ${(error as Error).message}`);
        });
        await holds(target);
      }
      for (const file of readdirSync(target.home.folder)) expect(file).not.toMatch(/^\./);
      await vault!.stop();
      base.remove();
      base = temporaryFolder();
      process.env["XDG_CONFIG_HOME"] = base.folder;
    }
  }
}, 300_000);

describe("the operator's token has expired:", () => {
  test("a deploy says what to run; init makes a new one with the keys on file", async () => {
    const target = await setUp({ generatesRoot: true }, [5, 3]);
    await prepareVault(target);
    const root = await asRoot(target);
    const old = target.home.token("operator")!;
    await root.call("POST", "auth/token/revoke", { token: old });
    await expect(prepareVault(target)).rejects.toThrow(
      `the Vault at ${vault!.address} rejects the operator's token, which has expired or is another Vault's: run npx leasehold init`,
    );
    const [, planner] = tokens(target);
    const { did } = await prepareVault(target, explicit);
    expect(did).toEqual([
      `made operator: a token each, in ${target.home.folder}`,
      "the root token is revoked",
    ]);
    expect(target.home.token("operator")).not.toBe(old);
    expect(target.home.token("planner")).toBe(planner);
    await holds(target);
  });

  test("without the keys, init says which it takes", async () => {
    const target = await setUp({ generatesRoot: true });
    await prepareVault(target, { onKeys: () => undefined });
    target.home.setToken("operator", "s.expired");
    await expect(prepareVault(target, explicit)).rejects.toThrow(
      /has to make a root token for this, unless VAULT_TOKEN is one, and .*unseal-keys holds 0 of the 1 unseal key that it needs/,
    );
  });

  const { test: onOpenBaoTest, because } = onOpenBao(
    "HashiCorp's Vault makes a root token from its keys alone",
  );
  onOpenBaoTest(
    `and the server makes none: one line says what helps, and a root token that is given helps${because}`,
    async () => {
      const target = await setUp();
      await prepareVault(target);
      const root = await asRoot(target);
      target.home.setToken("operator", "s.expired");
      await expect(prepareVault(target, explicit)).rejects.toThrow(
        /generates no root token from unseal keys without a valid token .*: set VAULT_TOKEN to a root token, or disable_unauthed_generate_root_endpoints = false/,
      );
      process.env["VAULT_TOKEN"] = (root as unknown as { token: string }).token;
      expect((await prepareVault(target, explicit)).did).toEqual([
        `made operator: a token each, in ${target.home.folder}`,
      ]);
      expect((await lookup(root)).status).toBe(200);
      await holds(target);
    },
  );
});

describe("the config has changed a policy:", () => {
  test.each([
    { generatesRoot: true, who: "operator" },
    { generatesRoot: false, who: "operator" },
    { generatesRoot: true, who: "planner" },
    { generatesRoot: true, who: "deliverer" },
    { generatesRoot: true, who: "verifier" },
  ] as const)(
    "a deploy says what to run; init writes it, the tokens stay (%j)",
    async ({ who, ...options }) => {
      const target = await setUp(options, [5, 3]);
      await prepareVault(target);
      const before = tokens(target);
      const wider = changed(target, who, `${policies[who]}\n# another mount\n`);
      await expect(prepareVault(wider)).rejects.toThrow(
        `the ${who}'s policy at ${vault!.address} is no longer what the config declares: run npx leasehold init, then deploy again`,
      );
      const { did } = await prepareVault(wider, explicit);
      expect(did).toEqual([`wrote the policy leasehold-local-${who}`, "the root token is revoked"]);
      expect(tokens(target)).toEqual(before);
      expect((await prepareVault(wider)).did).toEqual([]);
      await holds(wider);
    },
  );

  test("a name that the operator's policy does not cover is in the line, before anything else is done", async () => {
    const target = await setUp({ generatesRoot: true });
    await checkOperator(target);
    await prepareVault(target);
    const rules = ["sys/policies/acl/app-policy", "auth/approle/role/myapp"].map(
      (path) => `path "${path}" {\n  capabilities = ["update"]\n}\n`,
    );
    const wider = changed(target, "operator", [policies.operator, ...rules].join("\n"));
    for (const refused of [checkOperator(wider), prepareVault(wider)])
      await expect(refused).rejects.toThrow(
        `the operator's policy at ${vault!.address} is no longer what the config declares: run npx leasehold init, then deploy again; it does not cover sys/policies/acl/app-policy and 1 other path`,
      );
    await prepareVault(wider, explicit);
    await checkOperator(wider);
    await holds(wider);
  });

  test("what it has dropped and the state still has, init lets the operator delete and the planner read", async () => {
    const target = await setUp({ generatesRoot: true });
    await prepareVault(target);
    const root = await asRoot(target);
    const paths = ["app-policy", "app", "db-old"].map((name) => `sys/policies/acl/${name}`);
    for (const path of paths) await root.call("PUT", path, { policy: "# ours, of before" });
    const dropping = (...dropped: string[]): VaultTarget => ({
      ...target,
      deployed: () =>
        Promise.resolve({
          ...{ marks: [], names: [] },
          dropped: dropped.map((path) => ({ path, capabilities: ["read", "delete"] })),
        }),
    });
    // Of what starts with the prefix it could be before.
    await prepareVault(dropping(paths[2]!));
    await expect(prepareVault(dropping(...paths))).rejects.toThrow(
      /init, then deploy again; it does not cover sys\/policies\/acl\/app-policy and 1 other path$/,
    );
    const { did } = await prepareVault(dropping(...paths), explicit);
    expect(did[0]).toBe("wrote the policies leasehold-local-operator, leasehold-local-planner");
    const [operator, planner] = [as(target, "operator"), as(target, "planner")];
    for (const path of paths.slice(0, 2)) {
      expect((await operator.request("PUT", path, { policy: "" })).status).toBe(403);
      expect((await planner.request("DELETE", path)).status).toBe(403);
      expect((await planner.request("GET", path)).status).toBe(200);
      expect((await operator.request("DELETE", path)).status).toBe(204);
    }
    // After the deploy that has deleted them there is nothing to do; what init writes next is without them.
    expect((await prepareVault(target)).did).toEqual([]);
    const wider = changed(target, "verifier", `${policies.verifier}\n# other\n`);
    await prepareVault(wider, explicit);
    await holds(wider);
  });

  test("the policies of before, of which the stack had three: a deploy says what to run, init writes all four", async () => {
    const target = await setUp({ generatesRoot: true });
    await prepareVault(target);
    const root = await asRoot(target);
    const before =
      'path "sys/policies/acl/leasehold-local-*" { capabilities = ["create", "read", "update"] }';
    for (const who of TRUST_TOKENS)
      await root.call("PUT", `sys/policies/acl/leasehold-local-${who}`, {
        policy: `${before}\npath "auth/token/*" { capabilities = ["read", "update"] }`,
      });
    await expect(prepareVault(target)).rejects.toThrow(
      /the operator's policy at .* is no longer what the config declares: run npx leasehold init, then deploy again/,
    );
    const { did } = await prepareVault(target, explicit);
    expect(did[0]).toBe(
      `wrote the policies ${TRUST_TOKENS.map((who) => `leasehold-local-${who}`).join(", ")}`,
    );
    await holds(target);
  });

  test("the unseal keys of another Vault make no root token", async () => {
    const target = await setUp({ generatesRoot: true }, [5, 3]);
    await prepareVault(target);
    const keys = target.home.unsealKeys()!;
    target.home.setUnsealKeys(keys.map((_, i) => Buffer.alloc(33, i + 1).toString("base64")));
    const wider = changed(target, "operator", "# other");
    await expect(prepareVault(wider, explicit)).rejects.toThrow(
      `the unseal keys are not those of the Vault at ${vault!.address}`,
    );
    // Nothing is left half-way.
    target.home.setUnsealKeys(keys);
    expect((await prepareVault(wider, explicit)).did).toHaveLength(2);
  });

  test("somebody else's attempt at a root token is left alone once keys were sent to it", async () => {
    const target = await setUp({ generatesRoot: true }, [5, 3]);
    await prepareVault(target);
    const keys = target.home.unsealKeys()!;
    const { nonce } = (await target.vault.call("PUT", "sys/generate-root/attempt", {})) as { nonce: string };
    await target.vault.call("PUT", "sys/generate-root/update", { nonce, key: keys[4] });
    const wider = changed(target, "operator", "# other");
    await expect(prepareVault(wider, explicit)).rejects.toThrow(
      "a root token is already being generated from the unseal keys (1 sent): wait, or cancel it with vault delete sys/generate-root/attempt",
    );
    await target.vault.call("DELETE", "sys/generate-root/attempt");
    // One to which none was sent is a killed command's.
    await target.vault.call("PUT", "sys/generate-root/attempt", {});
    expect((await prepareVault(wider, explicit)).did).toHaveLength(2);
  });
});

describe("a policy that has a name of ours", () => {
  const PLANNER = "leasehold-local-planner";
  const RULE = 'path "secret/*" { capabilities = ["read"] }\n';
  const OF_ANOTHER = `# leasehold local database/shop\n${RULE}`;
  let root: VaultClient;

  /** A Vault of somebody's, with their token at hand. */
  async function ofOthers(): Promise<VaultTarget> {
    const target = await setUp();
    const { keys, root_token: token } = (await target.vault.call("PUT", "sys/init", {
      secret_shares: 1,
      secret_threshold: 1,
    })) as unknown as { keys: string[]; root_token: string };
    await target.vault.call("PUT", "sys/unseal", { key: keys[0] });
    root = target.vault.withToken(token);
    process.env["VAULT_TOKEN"] = token;
    return { ...target, isContainer: false };
  }

  const policy = async (name: string) =>
    (await root.request("GET", `sys/policies/acl/${name}`)).body.data?.["policy"];
  const put = (name: string, text: string) => root.call("PUT", `sys/policies/acl/${name}`, { policy: text });

  test.each([
    ["somebody's", RULE, "somebody else's (its first line is no mark)"],
    [
      "another deployment's",
      OF_ANOTHER,
      "another environment's (its first line is # leasehold local database/shop)",
    ],
  ])("and is %s is refused, and nothing is written; --take-over writes it", async (_, text, owner) => {
    const target = await ofOthers();
    for (const name of [PLANNER, "db-readonly-role"]) await put(name, text);
    await expect(prepareVault(target, explicit)).rejects.toThrow(
      new SetupError(
        `the policy ${PLANNER} at ${vault!.address} is ${owner}: give this environment another name than local, or run npx leasehold init --take-over where it is to be replaced`,
      ),
    );
    expect(await policy(PLANNER)).toBe(text);
    expect(await policy("leasehold-local-operator")).toBeUndefined();
    expect(existsSync(target.home.folder)).toBe(false);

    const { did } = await prepareVault(target, { takeOver: true });
    expect(did.slice(0, 2)).toEqual(
      [PLANNER, "db-readonly-role"].map((name) => `took over the policy ${name}, which was ${owner}`),
    );
    await holds(target);
    expect(await policy("db-readonly-role")).toBe(personaPolicies["db-readonly-role"]);
    expect((await prepareVault(target, { takeOver: true })).did).toEqual([
      "renewed the tokens; there was nothing else to do",
    ]);
  });

  test("and is another's, where init has unseal keys alone: no root token is left", async () => {
    const target = await setUp({ generatesRoot: true });
    await prepareVault(target);
    root = await asRoot(target);
    await put("leasehold-local-operator", OF_ANOTHER);
    const made = jest.spyOn(Home.prototype, "setRootToken");
    await expect(prepareVault(target, explicit)).rejects.toThrow(/^the policy leasehold-local-operator at /);
    expect(target.home.rootToken()).toBeUndefined();
    expect((await lookup(target.vault.withToken(made.mock.calls[0]![0]))).status).toBe(403);
    const { did } = await prepareVault(target, { takeOver: true });
    expect(did.at(-1)).toBe("the root token is revoked");
    await holds(target);
  });

  test.each<[string, (text: string) => string]>([
    ["has our mark, and another text", (text) => `${text}\n${RULE}`],
    [
      "has none, and is as it was before there were marks",
      (text) => text.replaceAll(/# leasehold \S+ \S+?(\\n|\n)/g, ""),
    ],
  ])("and %s is ours, without a token of an earlier init's", async (_, change) => {
    const target = await ofOthers();
    for (const who of TRUST_TOKENS) await put(`leasehold-local-${who}`, change(policies[who]));
    expect(await policy("leasehold-local-operator")).not.toBe(policies.operator);
    await prepareVault(target, explicit);
    await holds(target);
  });

  test("and is another's is ours where Terraform's state knows it, or the connection of its mark", async () => {
    const target = await ofOthers();
    await put(PLANNER, RULE);
    await put("leasehold-local-operator", OF_ANOTHER);
    const knowing = (names: string[], marks: string[]): VaultTarget => ({
      ...target,
      deployed: () => Promise.resolve({ names, marks, dropped: [] }),
    });
    await expect(prepareVault(knowing([PLANNER], []), explicit)).rejects.toThrow(
      /^the policy leasehold-local-operator at /,
    );
    await expect(prepareVault(knowing([], ["leasehold local database/shop"]), explicit)).rejects.toThrow(
      new RegExp(`^the policy ${PLANNER} at `),
    );
    await prepareVault(knowing([PLANNER], ["leasehold local database/shop"]), explicit);
    await holds(target);
  });
});

test("a token of the others' that is lost or refused is made anew by init alone", async () => {
  const target = await setUp({ generatesRoot: true });
  await prepareVault(target);
  const root = await asRoot(target);
  await root.call("POST", "auth/token/revoke", { token: target.home.token("planner") });
  expect((await prepareVault(target)).did).toEqual([]);
  expect((await prepareVault(target, explicit)).did[0]).toMatch(/^made planner: /);
  expect((await prepareVault(target, explicit)).did).toEqual([
    "renewed the tokens; there was nothing else to do",
  ]);
});

test("a token that is renewed lives as long as a new one", async () => {
  const target = await setUp({ generatesRoot: true });
  await prepareVault(target);
  const ttl = async () => (await lookup(as(target, "operator"))).body.data!["ttl"] as number;
  const first = await ttl();
  let before = first;
  await eventually(
    async () => (before = await ttl()) < first - 2,
    30_000,
    () => "the token's TTL stays where it was",
  );
  await prepareVault(target);
  expect(await ttl()).toBeGreaterThan(before);
});

describe("a Vault that is no container of ours", () => {
  test("is initialised by init alone", async () => {
    const target = { ...(await setUp()), isContainer: false };
    await expect(prepareVault(target)).rejects.toThrow(
      `the Vault at ${vault!.address} is not initialised, and is not a container of this environment: run npx leasehold init, if it is yours`,
    );
    expect(await target.vault.call("GET", "sys/init")).toEqual({ initialized: false });
    await prepareVault(target, explicit);
    await holds(target);
  });

  test("set up by others: init makes policy and tokens with the token that is given, and leaves that alone", async () => {
    const others = await setUp();
    const { keys, root_token: token } = (await others.vault.call("PUT", "sys/init", {
      secret_shares: 1,
      secret_threshold: 1,
    })) as unknown as { keys: string[]; root_token: string };
    await others.vault.call("PUT", "sys/unseal", { key: keys[0] });
    const target = { ...others, isContainer: false };
    await expect(prepareVault(target)).rejects.toThrow(
      `there is no operator's token in ${target.home.folder}: run npx leasehold init, with VAULT_TOKEN a root token`,
    );
    await expect(prepareVault(target, explicit)).rejects.toThrow(/unless VAULT_TOKEN is one/);
    process.env["VAULT_TOKEN"] = token;
    expect((await prepareVault(target, explicit)).did).toEqual([
      `wrote the policies ${TRUST_TOKENS.map((who) => `leasehold-local-${who}`).join(", ")}`,
      `made operator, planner, deliverer, verifier: a token each, in ${target.home.folder}`,
    ]);
    await holds(target);
    expect((await lookup(target.vault.withToken(token))).status).toBe(200);
  });

  test("a deploy takes an operator's token that others made", async () => {
    const target = { ...(await setUp()), isContainer: false };
    await prepareVault(target, explicit);
    const given = target.home.token("operator")!;
    base.remove();
    base = temporaryFolder();
    process.env["XDG_CONFIG_HOME"] = base.folder;
    const elsewhere = { ...target, home: Home.open("local") };
    process.env["VAULT_TOKEN"] = given;
    await expect(prepareVault(changed(elsewhere, "verifier", "# other"))).rejects.toThrow(
      "the verifier's policy at",
    );
    const { operator, did } = await prepareVault(elsewhere);
    expect(did).toEqual([]);
    expect((await lookup(operator)).status).toBe(200);
    expect(existsSync(elsewhere.home.folder)).toBe(false);
  });
});

test("dev mode: the tokens are made with the root token of its file, which stays", async () => {
  const home = Home.open("local");
  const address = `127.0.0.1:${String(await freePort())}`;
  const { path } = await vaultBinary();
  const script = `VAULT_DEV_ROOT_TOKEN_ID=$(cat "$0"); export VAULT_DEV_ROOT_TOKEN_ID; exec "$1" server -dev -dev-no-store-token -dev-listen-address=${address}`;
  const child = await workspace.spawn("dev", "sh", ["-c", script, home.devTokenFile(), path]);
  try {
    await answering(`http://${address}`);
    const target = {
      vault: new VaultClient(`http://${address}`),
      ...{ home, manifest, policies, personaPolicies, isContainer: true },
      deployed: () => Promise.resolve({ marks: [], names: [], dropped: [] }),
    };
    expect((await prepareVault(target)).did).toEqual([
      `wrote the policies ${TRUST_TOKENS.map((who) => `leasehold-local-${who}`).join(", ")}`,
      `made operator, planner, deliverer, verifier: a token each, in ${home.folder}`,
    ]);
    expect((await prepareVault(target, explicit)).did).toEqual([
      "renewed the tokens; there was nothing else to do",
    ]);
    expect((await lookup(target.vault.withToken(home.devToken()))).status).toBe(200);
  } finally {
    await stopChild(child, "SIGKILL", 0);
  }
});

describe("leasehold init", () => {
  const run = async (...args: string[]) => {
    const program = new Program(["init", ...args], {
      XDG_CONFIG_HOME: base.folder,
      TF_VAR_vault_address: vault!.address,
    });
    return { code: await program.ended, output: program.output };
  };

  test("keeps every secret in files of their owner's alone, in no output, argument or other file", async () => {
    const target = await setUp();
    const json = join(base.folder, "init.json");
    const { code, output } = await run("--json", json);
    expect({ code, output }).toEqual({
      code: 0,
      output: expect.stringMatching(/the root token is revoked/) as string,
    });
    await holds(target);
    const secrets = [...tokens(target), ...target.home.unsealKeys()!];
    for (const secret of secrets) {
      expect(output).not.toContain(secret);
      expect(processesWith(secret)).toEqual([]);
      expect(readFileSync(json, "utf8")).not.toContain(secret);
      expect(readFileSync(workspace.logFile(`vault-${new URL(vault!.address).port}`), "utf8")).not.toContain(
        secret,
      );
    }
    const synthesized = join(ROOT, "cdktf.out");
    const files = readdirSync(synthesized, { recursive: true, encoding: "utf8" })
      .filter((name) => !name.includes(".terraform/"))
      .map((name) => join(synthesized, name))
      .filter((file) => statSync(file).isFile());
    expect(
      files.filter((file) => secrets.some((secret) => readFileSync(file, "utf8").includes(secret))),
    ).toEqual([]);
    expect(await run()).toEqual({ code: 0, output: "renewed the tokens; there was nothing else to do\n" });
  });

  test("--print-keys shows them on stdout as Vault does, and keeps none", async () => {
    const target = await setUp();
    const { code, output } = await run("--print-keys");
    expect(code).toBe(0);
    expect(output).toMatch(
      /^Unseal Key 1: \S{44}\nVault needs 1 of them after each start\. Store them separately\.\n/,
    );
    expect(target.home.unsealKeys()).toBeUndefined();
    await holds(target);
  });

  test("sealed without keys and without a terminal: exit 2, one line", async () => {
    const target = await setUp({ onDisk: true });
    await prepareVault(target, { onKeys: () => undefined });
    await vault!.restart();
    const { code, output } = await run();
    expect(code).toBe(2);
    expect(output).toMatch(
      /^the Vault at \S+ is sealed, and \S+ holds 0 of the 1 unseal key that it needs: .*\n$/,
    );
  });

  test("the folder is open to others: exit 2, one line, and Vault is not touched", async () => {
    const target = await setUp();
    target.home.checkWritable();
    const { folder } = target.home;
    chmodSync(folder, 0o750);
    expect(await run()).toEqual({
      code: 2,
      output: `${folder} holds secrets and is accessible to others (mode 0750): chmod go= ${folder}\n`,
    });
    expect(await target.vault.call("GET", "sys/init")).toEqual({ initialized: false });
  });

  test("no Vault at the address: exit 2, one line", async () => {
    await setUp();
    await vault!.stop();
    expect(await run()).toEqual({
      code: 2,
      output: expect.stringMatching(/^Vault does not answer at http:\S+: .*ECONNREFUSED.*\n$/) as string,
    });
  });
});

describe("destroy", () => {
  const ofInit = TRUST_TOKENS.map((who) => `leasehold-local-${who}`);
  const policiesIn = async (root: VaultClient) =>
    ((await root.call("LIST", "sys/policies/acl")).data!["keys"] as string[]).filter((name) =>
      name.startsWith("leasehold-"),
    );

  test("ends the tokens on file, the verifier's last by itself, and names the policies with what removes them", async () => {
    const target = { ...(await setUp({ onDisk: true })), isContainer: false };
    await prepareVault(target, explicit);
    const root = await asRoot(target);
    const before = TRUST_TOKENS.map((who) => as(target, who));
    expect(await hasTrust(target)).toBe(true);
    expect(await endTrust(target)).toEqual({
      did: ["ended the tokens of init: operator, planner, deliverer, verifier"],
      left: [
        `the policies ${ofInit.join(", ")} in Vault, and tokens of init's that are not in ${target.home.folder}, which none of these may remove: VAULT_TOKEN=… npx leasehold destroy --env local, or vault policy delete for each`,
      ],
    });
    for (const client of before) expect((await lookup(client)).status).toBe(403);
    expect(target.home.files()).toEqual(["unseal-keys"]);
    expect(await hasTrust(target)).toBe(false);
    expect((await policiesIn(root)).sort()).toEqual([...ofInit].sort());
  });

  test("with a token that may ends those of every machine, and deletes the policies, no other's", async () => {
    const target = { ...(await setUp({ onDisk: true })), isContainer: false };
    await prepareVault(target, explicit);
    const token = await rootTokenOf(target);
    const root = target.vault.withToken(token);
    const other = await root.call("POST", "auth/token/create-orphan", {
      policies: [ofInit[0]!],
      no_default_policy: true,
    });
    const both = await root.call("POST", "auth/token/create-orphan", { policies: [ofInit[0]!, "default"] });
    await root.call("PUT", "sys/policies/acl/leasehold-other-operator", {
      policy: "# leasehold other database/app\n",
    });
    const before = TRUST_TOKENS.map((who) => target.home.token(who)!);
    for (const who of ["planner", "verifier"] as const) target.home.removeToken(who);
    process.env["VAULT_TOKEN"] = token;
    expect(await endTrust(target)).toEqual({
      did: ["ended 5 tokens that init had made", `deleted the policies ${ofInit.join(", ")}`],
      left: [],
    });
    // As root looks them up: without its policy a token that lives may not look at itself either.
    const status = async (found: string) =>
      (await root.request("POST", "auth/token/lookup", { token: found })).status;
    for (const ended of [...before, other.auth!.client_token]) expect(await status(ended)).toBe(403);
    expect(await status(both.auth!.client_token)).toBe(200);
    expect(await policiesIn(root)).toEqual(["leasehold-other-operator"]);
    expect(target.home.files()).toEqual(["unseal-keys"]);
    expect(await hasTrust(target)).toBe(false);
  });

  test("without the verifier's token each is named by its accessor; another environment's policies stay", async () => {
    const target = { ...(await setUp({ onDisk: true })), isContainer: false };
    await prepareVault(target, explicit);
    const token = await rootTokenOf(target);
    const root = target.vault.withToken(token);
    target.home.removeToken("verifier");
    const accessor = (await lookup(as(target, "operator"))).body.data!["accessor"] as string;
    const { did, left } = await endTrust(target);
    expect(did).toEqual([]);
    expect(left[0]).toBe(`the operator's token in Vault: vault token revoke -accessor ${accessor}`);
    expect(left).toHaveLength(4);
    for (const name of ofInit)
      await root.call("PUT", `sys/policies/acl/${name}`, { policy: "# leasehold other database/app\n" });
    process.env["VAULT_TOKEN"] = token;
    expect((await endTrust(target)).did).toEqual(["ended 3 tokens that init had made"]);
    expect((await policiesIn(root)).sort()).toEqual([...ofInit].sort());
  });
});
