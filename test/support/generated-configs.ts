import fc from "fast-check";
import { Privileges } from "../../constructs/postgres/privileges";
import { OBJECT_KINDS, type ObjectKind } from "../../manifest/object-kinds";

export type Path = readonly (string | number)[];
export type Fields = Record<string, unknown>;
type Draw = fc.GeneratorValue;

/** What is made of values that are drawn one after the other, and made smaller one by one. */
export function drawn<T>(make: (g: Draw) => T): fc.Arbitrary<T> {
  return fc.gen().map(make);
}

/** By its index, since fast-check keeps what it was asked for each time: it takes no list that differs in each run. */
function oneOf<T>(g: Draw, values: readonly T[]): T {
  return values[g(fc.nat, { max: values.length - 1 })]!;
}

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const CAPITALS = LETTERS.toUpperCase();
const DIGITS = "0123456789";
const WORD = `${LETTERS}${CAPITALS}${DIGITS}_`;

/** Two characters or more, and often as many as there may be. */
function name(longest: number, first: string, middle: string, last = middle): fc.Arbitrary<string> {
  const inner = (minLength: number, maxLength: number) =>
    fc.string({ unit: fc.constantFrom(...Array.from(middle)), minLength, maxLength });
  return fc
    .tuple(
      fc.constantFrom(...Array.from(first)),
      fc.oneof({ withCrossShrink: true }, inner(0, 10), inner(longest - 2, longest - 2)),
      fc.constantFrom(...Array.from(last)),
    )
    .map((parts) => parts.join(""));
}

// Of the alphabets of constructs/names.ts. None comes to a word that a rule beside its alphabet keeps out.
const role = () => name(60, CAPITALS, `${WORD}-`, WORD);
/** With room for `_verify_owner`. */
const identifier = () => name(48, `${CAPITALS}_`, `${WORD}-`, WORD);
const vaultName = () => name(125, `${CAPITALS}${DIGITS}`, `${WORD}-`, WORD);
const lowerName = (longest: number) => name(longest, LETTERS + DIGITS, `${LETTERS}${DIGITS}_-`, `${DIGITS}_`);
const policyWithout = (prefix: string) => lowerName(128).filter((text) => !text.startsWith(prefix));
const serverName = () => name(30, "abc", LETTERS + DIGITS);
const mountPath = () =>
  fc
    .array(name(40, CAPITALS, `${WORD}-`), { minLength: 1, maxLength: 3 })
    .map((segments) => segments.join("/"));

/** What Terraform, Vault, PostgreSQL, a shell or a terminal would do something with. */
export const SNIPPETS = [
  ...[
    "${var.x}",
    "$${x}",
    "%{ if true }",
    "%%{x}",
    "{{name}}",
    "{{password}}",
    "$$",
    "$body$",
    "$(id)",
    "`id`",
  ],
  ...["'", '"', "'; DROP ROLE postgres; --", '"; DROP ROLE postgres; --', "\\", "%", "*", "+", " ", ","],
  ...["\n", "\r", "\0", "\x1b[2J", "\u0085", "\u2028", "\u202e", "\ufeff", "\ud800", "é", "😀", "\u0301"],
];
/** No name: of whatever else it is, one part is no letter, digit, dash, underscore, dot, slash or colon. */
export const hostile = fc
  .tuple(
    fc.string({ unit: fc.oneof(fc.constantFrom(...SNIPPETS), fc.string({ unit: "binary" })), maxLength: 4 }),
    fc.constantFrom(...SNIPPETS),
    fc.string({ unit: "grapheme", maxLength: 4 }),
  )
  .map((parts) => parts.join(""));

const HOURS_768 = 768 * 3600;

const share = () => fc.double({ min: 0, max: 1, noNaN: true });

/** A length of time as a config writes it, in one of the units that hold it whole. */
function duration(g: Draw, min: number, max: number): { text: string; seconds: number } {
  const seconds = min + Math.round(g(share) * (max - min));
  const units = Object.entries({ s: 1, m: 60, h: 3_600, d: 86_400 });
  const [unit, size] = oneOf(
    g,
    units.filter(([, size]) => seconds % size === 0),
  );
  return { text: `${String(seconds / size)}${unit}`, seconds };
}

const RANGES = ["10.0.0.0/8", "192.0.2.7/32", "0.0.0.0/0", "fd00::/8", "::1/128"];
const ranges = () => fc.shuffledSubarray(RANGES, { minLength: 1 });

/** A config with what the schema's bounds allow, and nothing that they do not. */
export function goodConfig(g: Draw): Fields {
  const flag = () => g(fc.boolean);
  const count = (min: number, max: number) => g(fc.integer, { min, max });
  const list = <T>(min: number, max: number, make: (index: number) => T): T[] =>
    Array.from({ length: count(min, max) }, (_, i) => make(i));
  /** Each of them once, by the two digits at its end. */
  const once = <A extends unknown[]>(
    mark: string,
    values: (...args: A) => fc.Arbitrary<string>,
    ...args: A
  ) => {
    let n = 10;
    return () => `${mark}${g(values, ...args)}${String(n++)}`;
  };
  const [superuser, owner, manager] = [once("s", role), once("o", role), once("m", role)];
  const [groupRole, login, staticRole] = [once("g", role), once("l", role), once("s", vaultName)];
  const [server, databaseName, connection] = [
    once("", serverName),
    once("", identifier),
    once("c", vaultName),
  ];
  const persona = once("", lowerName, 126);
  const prefix = `${g(lowerName, 60)}-`;
  const appRole = once(prefix, lowerName, 60);
  const policy = once(`${prefix}p`, lowerName, 59);
  let hostPort = count(1, 65_530);
  const cidrs = () => (flag() ? { boundCidrs: g(ranges) } : {});

  const isContained = flag();
  const leases = oneOf(g, [undefined, "functions", "createrole"]);
  const servers = list(1, 3, () => ({
    name: server(),
    superuser: superuser(),
    ...(leases === "createrole" && flag() && { bootstrap: oneOf(g, ["superuser", "createrole"]) }),
    database: databaseName(),
    ...(isContained
      ? {
          container: { image: `registry.example:5000/pg:18.${String(count(0, 9))}`, hostPort: hostPort++ },
        }
      : { tls: flag() }),
  }));
  const mode = oneOf(g, ["server", "dev"]);
  const container = {
    ...{ image: "hashicorp/vault:1.21.4", hostPort: hostPort++, mode },
    ...(mode === "server" && { storage: oneOf(g, ["memory", "file"]), lockMemory: flag() }),
  };
  const shares = count(1, 255);
  const mounts = list(1, 3, () => g(mountPath)).filter(
    (path, _, all) => !all.some((other) => path.startsWith(`${other}/`)),
  );

  const databases = list(1, 3, (d) => {
    const on = oneOf(g, servers);
    const isFirst = on === servers[0];
    const temporary = flag() ? ["TEMPORARY"] : [];
    const personas = list(1, 4, () => {
      const actsAsOwner = flag();
      const lease = duration(g, 1, HOURS_768);
      const leaseMax = duration(g, lease.seconds, HOURS_768);
      const token = duration(g, 1, HOURS_768);
      const tokenMax = duration(g, token.seconds, HOURS_768);
      return {
        name: persona(),
        groupRole: groupRole(),
        appRole: appRole(),
        ...(flag() && { policy: policy() }),
        actsAsOwner,
        privileges: actsAsOwner
          ? { ...Privileges.OWNER, database: ["CREATE", ...temporary, "CONNECT"] }
          : somePrivileges(g),
        lease: { defaultTtl: lease.text, maxTtl: leaseMax.text },
        token: { ttl: token.text, maxTtl: tokenMax.text, ...cidrs() },
        leaseEndsWithToken: tokenMax.seconds < leaseMax.seconds || flag(),
        secretId: { ttl: duration(g, 60, HOURS_768).text, uses: count(1, 1_000_000), ...cidrs() },
      };
    });
    const admin = personas.find(({ actsAsOwner }) => actsAsOwner)?.name;
    const reader = personas.find(({ actsAsOwner }) => !actsAsOwner)?.name;
    const workloads: object[] =
      reader === undefined ? [] : ["pool", "leases", "approle"].map((kind) => ({ kind, reader }));
    if (reader !== undefined && admin !== undefined)
      workloads.push({ kind: "users", admin, writer: reader, reader });
    return {
      // Its server's own, or one that is made.
      name: isFirst && d === 0 && flag() ? on.database : databaseName(),
      ...(!(isFirst && flag()) && { server: on.name }),
      schema: g(identifier),
      owner: owner(),
      manager: { name: manager(), passwordVersion: count(1, 1_000_000), rotateRoot: flag() },
      vault: { mount: oneOf(g, mounts), connection: connection() },
      personas,
      staticRoles: list(0, 2, () => ({
        name: staticRole(),
        login: login(),
        persona: oneOf(g, personas).name,
        rotationPeriod: duration(g, 5, 3650 * 86_400).text,
      })),
      ...(workloads.length > 0 && flag() && { workload: oneOf(g, workloads) }),
    };
  });

  return {
    name: g(lowerName, 108),
    servers,
    vault: {
      ...(isContained ? { container } : { tls: flag() }),
      unsealKeys: { shares, threshold: shares === 1 ? 1 : count(2, shares) },
      authMount: `auth-${g(mountPath)}`,
      ...(flag() && { namePrefix: prefix }),
      ...(flag() && { operatorPolicy: g(policyWithout, prefix) }),
    },
    ...(leases !== undefined && { leases }),
    ...(flag() && { backend: g(backend) }),
    databases,
    verification: flag(),
  };
}

const privilegesOn = (kind: ObjectKind) => fc.shuffledSubarray<string>([...OBJECT_KINDS[kind].privileges]);

function somePrivileges(g: Draw): Fields {
  const some = (kind: ObjectKind) => g(privilegesOn, kind);
  const objects = { tables: some("tables"), sequences: some("sequences"), functions: some("functions") };
  const isReached = Object.values(objects).some((list) => list.length > 0);
  return {
    database: ["CONNECT", ...some("database").filter((privilege) => privilege !== "CONNECT")],
    schema: isReached
      ? ["USAGE", ...some("schema").filter((privilege) => privilege !== "USAGE")]
      : some("schema"),
    ...objects,
  };
}

/** Its arguments' values are the only ones that may be any text. */
const backend = () =>
  fc.record({
    type: fc.constantFrom("pg", "s3", "http"),
    arguments: fc
      .tuple(
        fc.dictionary(
          fc.constantFrom("address", "bucket", "region", "endpoint", "workspace_dir"),
          fc.oneof(hostile, fc.integer(), fc.boolean()),
        ),
        hostile,
      )
      .map(([values, text]) => ({ ...values, key: `${text}{environment}/{stack}${text}` })),
  });

/** One thing that is not allowed, and where it is. */
export interface Fault {
  readonly path: Path;
  readonly value: unknown;
}

/** What a config file can export beside the type that is wanted, with a secret where one could be thought to belong. */
const wrongTypes = (secret: string) =>
  fc.constantFrom<unknown>(
    ...[null, true, -7, 1.5, NaN, 7n, "", "seven", Symbol("a\nb"), new Error("no\nstack"), new Date(0), /x/],
    ...[
      () => secret,
      new Map([["password", secret]]),
      { a: { b: { c: { d: { e: 1 } } } }, secret: { value: secret } },
      [],
    ],
    ...[{ password: secret }, { kind: "chess", password: secret }, [{ token: secret }], [null]],
    ...[{ "a\nb": 1, apiToken: secret }, { vault: `postgres://u:${secret}@host/db` }],
  );

const NAMES =
  /^(name|groupRole|appRole|policy|owner|schema|superuser|database|login|connection|mount|authMount|namePrefix|operatorPolicy|image)$/;
const DURATIONS = /^(ttl|maxTtl|defaultTtl|rotationPeriod)$/;

const upToThree = (max: number) => fc.uniqueArray(fc.nat({ max }), { minLength: 1, maxLength: 3 });
const unknownKey = () =>
  fc.oneof(fc.constantFrom("password", "superuserPassword", "apiToken", "secret"), hostile);

/** Up to three values of a config that are not allowed, whatever the rest of it is. */
export function faultsOf(g: Draw, config: Fields, secret: string): Fault[] {
  const places = [...placesOf(config)].filter(([path]) => path[0] !== "backend");
  const chosen = g(upToThree, places.length - 1).map((i) => places[i]!);
  const apart = chosen.filter(
    ([path]) => !chosen.some(([other]) => other !== path && other.every((part, i) => path[i] === part)),
  );
  return apart.map(([path, value]) => {
    const isUnknownKey = !Array.isArray(value) && typeof value === "object" && g(fc.boolean);
    if (!isUnknownKey) return { path, value: g(notAllowed, path, value, secret) };
    return {
      path: [...path, g(unknownKey)],
      value: oneOf<unknown>(g, [secret, { password: secret }, [secret]]),
    };
  });
}

function notAllowed(path: Path, value: unknown, secret: string): fc.Arbitrary<unknown> {
  const key = String(path.findLast((part) => typeof part === "string"));
  const wrong = wrongTypes(secret).filter((other) => {
    if (Array.isArray(value)) return !Array.isArray(other);
    return typeof other !== typeof value || other === null || Array.isArray(other) || NAMES.test(key);
  });
  switch (typeof value) {
    case "boolean":
      return wrong;
    case "number":
      return fc.oneof(
        wrong,
        fc.constantFrom<unknown>(
          0,
          -1,
          0.5,
          Infinity,
          1e9,
          String(value),
          ...(key === "passwordVersion" ? [secret] : []),
        ),
      );
    case "string":
      if (DURATIONS.test(key))
        return fc.oneof(
          wrong,
          hostile,
          fc.constantFrom("0s", "-1m", "1.5h", "1y", "1h30m", "3651d", " 1h", "1H"),
        );
      if (NAMES.test(key))
        return fc.oneof(
          wrong.filter((other) => other !== "seven"),
          hostile,
          fc.constantFrom("x".repeat(129) + ":", "é".repeat(32), "/", ""),
        );
      // A privilege, an address range, a kind.
      return path.some((part) =>
        /^(privileges|boundCidrs|kind|mode|storage|leases|bootstrap)$/.test(String(part)),
      )
        ? fc.oneof(wrong, hostile, fc.constantFrom("ALL", "select", "0.0.0.0/33", "host/8", "seven"))
        : wrong;
    default:
      return wrong;
  }
}

/** Each value of a config but the whole, with its path. */
export function* placesOf(value: unknown, path: Path = []): Generator<readonly [Path, unknown]> {
  if (typeof value !== "object" || value === null) return;
  for (const [key, item] of Object.entries(value)) {
    const here = [...path, Array.isArray(value) ? Number(key) : key];
    yield [here, item];
    yield* placesOf(item, here);
  }
}

/** A config with other values; undefined is one that is missing. */
export function withFaults(config: Fields, faults: readonly Fault[]): Fields {
  const changed = JSON.parse(JSON.stringify(config)) as Fields;
  for (const { path, value } of faults) {
    const parent = path.slice(0, -1).reduce<unknown>((at, part) => (at as Fields)[part], changed);
    (parent as Fields)[path.at(-1)!] = value;
  }
  return changed;
}

/** One thing that is not allowed as the rest of the config is, each alone. */
export function conflictOf(g: Draw, config: Fields): Fault {
  const read = (...path: Path) => path.reduce<unknown>((at, part) => (at as Fields)[part], config);
  const databases = config["databases"] as Fields[];
  const d = g(fc.nat, { max: databases.length - 1 });
  const personas = databases[d]!["personas"] as Fields[];
  const p = g(fc.nat, { max: personas.length - 1 });
  const at = (...path: Path): Path => ["databases", d, ...path];
  const persona = (...path: Path): Path => at("personas", p, ...path);
  const found: Fault[] = [
    { path: persona("lease"), value: { defaultTtl: "2h", maxTtl: "119m" } },
    { path: persona("token"), value: { ttl: "3601s", maxTtl: "1h" } },
    { path: persona("secretId", "ttl"), value: "59s" },
    ...(read("vault", "namePrefix") === undefined
      ? [{ path: persona("policy"), value: "leasehold-other-operator" }]
      : [{ path: persona("appRole"), value: "elsewhere" }]),
    { path: persona("privileges", "database"), value: ["CREATE"] },
    { path: persona("privileges", "database"), value: ["CONNECT", "CONNECT"] },
    { path: persona("groupRole"), value: read(...at("owner")) },
    { path: at("manager", "name"), value: read(...at("owner")) },
    { path: at("owner"), value: "pg_owner" },
    { path: at("schema"), value: "information_schema" },
    { path: at("name"), value: "n".repeat(64) },
    { path: at("server"), value: "elsewhere" },
    { path: at("vault", "mount"), value: "sys/x" },
    { path: at("vault", "mount"), value: read("vault", "authMount") },
    { path: at("workload"), value: { kind: "pool", reader: "nobody" } },
    { path: at("staticRoles", 0), value: { name: "x", login: "y", persona: "nobody", rotationPeriod: "5s" } },
    {
      path: at("staticRoles", 0),
      value: { name: "x", login: "y", persona: read(...persona("name")), rotationPeriod: "4s" },
    },
    { path: ["databases", databases.length], value: databases[d] },
    { path: persona("name"), value: undefined },
    { path: persona("privileges", "tables"), value: "ALL" },
    { path: ["servers", 1], value: read("servers", 0) },
    { path: ["servers", 0, "name"], value: "vault" },
    { path: ["vault", "unsealKeys"], value: { shares: 3, threshold: 1 } },
    { path: ["vault", "namePrefix"], value: "elsewhere" },
    { path: ["vault", "operatorPolicy"], value: "root" },
    { path: ["backend"], value: { type: "s3", arguments: { key: "one" } } },
    { path: ["verification"], value: undefined },
    { path: ["servers", 0, "bootstrap"], value: "superusers" },
    ...(config["leases"] === "createrole"
      ? []
      : [
          { path: ["servers", 0, "bootstrap"], value: "createrole" },
          { path: at("schema"), value: "leasehold" },
        ]),
  ];
  return oneOf(g, found);
}
