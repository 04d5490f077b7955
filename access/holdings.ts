import { OBJECT_KINDS, type NamedTable, type ObjectKind } from "../manifest/object-kinds";
import { privilegesIn } from "../manifest/privileges";
import { publicMay } from "../manifest/public";
import type { AccessManifest, ManifestDatabase, ManifestPersona } from "../manifest/schema";
import { pathsOf } from "./policy-paths";

/** What somebody has of one kind: a set, of which each item can be gained and lost. */
export interface Holding {
  readonly rule: string;
  /** Whose, and on what: unique with the rule. */
  readonly object: string;
  readonly items: readonly string[];
  /** An item in words, after "gains" or "loses". */
  readonly text: (item: string) => string;
  /** The item that is as much as all others together: beside it none is gained or lost. */
  readonly all?: string;
  /** Items that have an item within them: beside one of these it is neither gained nor lost. */
  readonly within?: (item: string) => readonly string[];
}

/** A bound: more of it is more access. */
export interface Bound {
  readonly rule: string;
  readonly object: string;
  readonly amount: number;
  readonly unit: "seconds" | "count";
  /** What is bounded, before "3 h, up from 1 h". */
  readonly text: string;
}

/** Part of a database's or persona's access, which is gained or lost as a whole with it. */
export interface Access {
  readonly holdings: readonly Holding[];
  readonly bounds: readonly Bound[];
}

const ANYWHERE = "any address";
const CREATEROLE = "CREATEROLE";

/** What PUBLIC has on a server's databases that are not declared. */
export function serverAccess({ name, otherDatabases }: AccessManifest["servers"][number]): Access {
  const holding: Holding = {
    rule: "public",
    object: name,
    items: otherDatabases === "keep" ? ["CONNECT"] : [],
    text: (item) => `${item} for PUBLIC on databases that the config does not name`,
  };
  return { holdings: [holding], bounds: [] };
}

/** What a database's owners, Vault's login and the verifier have. */
export function databaseAccess(database: ManifestDatabase): Access {
  const { name, schemas, manager, leases, probeGroups, vault } = database;
  const holdings = schemas.flatMap((schema): Holding[] => {
    const object = `${name} schema ${schema.name}`;
    const of = `the schema ${schema.name}`;
    return [
      { rule: "owner", object, items: [schema.owner], text: (owner) => `${owner} as the owner of ${of}` },
      {
        rule: "creator",
        object,
        items: schema.creators ?? [],
        text: (role) => `the personas' privileges on what ${role} creates in ${of}`,
      },
      publicHolding(database, "schema", of, schema.name),
      publicHolding(database, "functions", `functions of ${of}`, schema.name),
    ];
  });
  holdings.push(publicHolding(database, "database", `the database ${name}`));
  const mounts = [
    ...(vault.mountExists ? [] : [vault.mount]),
    ...database.personas.flatMap(({ login }) => (login.authMountExists ? [] : [`auth/${login.authMount}`])),
  ];
  holdings.push({
    rule: "mount",
    object: name,
    items: [...new Set(mounts)],
    text: (mount) => `the mount ${mount} with all that is in it, for the operator`,
  });
  holdings.push({
    rule: "manager",
    object: name,
    items: [manager ?? [], leases === "createrole" ? CREATEROLE : []].flat(),
    text: (item) => (item === CREATEROLE ? `${item} for Vault's own login` : `${item} as Vault's own login`),
  });
  holdings.push({
    rule: "probe",
    object: name,
    items: Object.values(probeGroups ?? {}),
    text: (group) => `${group}, whose logins the verifier leases`,
  });
  return { holdings, bounds: [] };
}

/** What PUBLIC has there from the start or by others, and keeps. */
const KEPT = "what it has";

/** What PUBLIC may keep. @param of in words */
function publicHolding(
  database: ManifestDatabase,
  kind: "database" | "schema" | "functions",
  of: string,
  schema?: string,
): Holding {
  const privileges = OBJECT_KINDS[kind].privileges.filter((privilege) =>
    publicMay(database, kind, privilege, schema),
  );
  const object = { database: `database ${database.name}`, schema: `${database.name} schema ${schema!}` };
  return {
    rule: "public",
    object: kind === "functions" ? `${object.schema} functions` : object[kind],
    items: database.public === "keep" ? [KEPT] : privileges,
    text: (privilege) =>
      privilege === KEPT ? `what PUBLIC has on ${of}` : `${privilege} for PUBLIC on ${of}`,
    all: KEPT,
  };
}

/** What a persona has. */
export function personaAccess(database: ManifestDatabase, persona: ManifestPersona): Access {
  const { groupRole, actsAsOwner, databaseRole, login } = persona;
  const of = `${database.name}.${persona.name}`;
  const holdings: Holding[] = [
    ...privilegesOf(database, persona),
    {
      rule: "membership",
      object: of,
      items: [groupRole, ...(actsAsOwner ? [database.owner] : [])],
      text: (role) => `membership in ${role}`,
    },
    {
      rule: "login",
      object: of,
      items: [...loginsOf(login), ...staticOf(database, persona).map((role) => `login ${role.login}`)],
      text: (item) => `${item} to log in with`,
    },
    { rule: "policy", object: of, items: login.policies, text: (policy) => `the policy ${policy}` },
    ...pathsOf(persona.policies).map(({ path, capabilities }) => ({
      rule: "path",
      object: `${of} ${path}`,
      items: capabilities,
      text: (capability: string) => `${capability} on the path ${path}`,
    })),
    ...addressesOf(of, login),
  ];
  const { tokenTtl, tokenMaxTtl, secretIdTtl, secretIdUses } = login;
  const seconds = (object: string, text: string, amount: unknown): Bound[] =>
    typeof amount === "number"
      ? [{ rule: "ttl", object: `${of} ${object}`, amount, unit: "seconds", text }]
      : [];
  const count = (object: string, text: string, amount: unknown): Bound[] =>
    typeof amount === "number"
      ? [{ rule: "limit", object: `${of} ${object}`, amount, unit: "count", text }]
      : [];
  return {
    holdings,
    bounds: [
      ...seconds("lease", "a lease's TTL is", databaseRole.defaultTtl),
      ...seconds("lease maximum", "a lease's maximum TTL is", databaseRole.maxTtl),
      ...seconds("token", "a token's TTL is", tokenTtl),
      ...seconds("token maximum", "a token's maximum TTL is", tokenMaxTtl),
      ...seconds("secret id", "a secret id's TTL is", secretIdTtl),
      ...count("secret id", "a secret id's uses are", secretIdUses),
      ...count("connections", "a leased login's sessions are at most", databaseRole.connectionLimit),
      ...staticOf(database, persona).flatMap(({ login: name, rotationPeriod }) =>
        seconds(`password of ${name}`, `the password of ${name} is kept for`, rotationPeriod),
      ),
    ],
  };
}

function privilegesOf(database: ManifestDatabase, persona: ManifestPersona): Holding[] {
  const holding = (items: readonly string[], on: string): Holding => ({
    rule: "privilege",
    object: `${database.name}.${persona.name} ${on}`,
    items,
    text: (privilege) => `${privilege} on ${on}`,
  });
  const kinds = Object.keys(OBJECT_KINDS) as ObjectKind[];
  return kinds.flatMap((kind) => {
    if (kind === "database") return holding(persona.privileges[kind], `the database ${database.name}`);
    return database.schemas.map(({ name }) => {
      const { namedTables, ...all } = privilegesIn(persona, name);
      const onAll = holding(all[kind], `${kind === "schema" ? "the" : `${kind} of the`} schema ${name}`);
      if (kind !== "tables") return onAll;
      const named = namedTables.flatMap((table) => namedItems(name, table));
      return {
        ...onAll,
        items: [...onAll.items, ...named],
        text: (item) => (NAMED.test(item) ? item : onAll.text(item)),
        within: widerThan,
      };
    });
  });
}

/** Privileges on a named table, or on columns of one. */
const NAMED = /^(\S+) on (?:\S+ of )?(the table \S+)$/;

function namedItems(schema: string, { name, privileges, columns }: NamedTable): string[] {
  const table = `the table ${schema}.${name}`;
  return [
    ...privileges.map((privilege) => `${privilege} on ${table}`),
    ...Object.entries(columns).flatMap(([privilege, list]) =>
      list.map((column) => `${privilege} on ${column} of ${table}`),
    ),
  ];
}

/** The same privilege on the whole table, and on all tables. */
function widerThan(item: string): string[] {
  const [, privilege, table] = NAMED.exec(item) ?? [];
  return privilege === undefined
    ? []
    : [privilege, `${privilege} on ${table!}`].filter((wider) => wider !== item);
}

function staticOf({ staticRoles }: ManifestDatabase, { name }: ManifestPersona) {
  return staticRoles.filter(({ persona }) => persona === name);
}

type Login = ManifestPersona["login"];

/** What is compared otherwise; what else a kind has is a condition of the login. */
const COMPARED = [
  ...[
    "kind",
    "authMount",
    "authMountExists",
    "name",
    "policies",
    "tokenTtl",
    "tokenMaxTtl",
    "tokenBoundCidrs",
  ],
  ...["secretIdTtl", "secretIdUses", "secretIdBoundCidrs"],
];

/** Another condition makes it another login. */
function loginsOf(login: Login): string[] {
  const conditions = Object.entries(login).filter(
    ([key, value]) => !COMPARED.includes(key) && value !== undefined,
  );
  const text = conditions.map(([key, value]) => `${key} ${JSON.stringify(value)}`).join(", ");
  const role = login.kind === "approle" ? "AppRole" : `${login.kind} role`;
  return [`${role} ${login.name} at ${login.authMount}${text && ` (${text})`}`];
}

/** From where it may log in, and use its token. */
function addressesOf(of: string, login: Login): Holding[] {
  const holding = (object: string, where: string, cidrs: unknown): Holding => ({
    rule: "address",
    object: `${of} ${object}`,
    items: Array.isArray(cidrs) && cidrs.length > 0 ? cidrs.map(String) : [ANYWHERE],
    text: (cidr) => `${cidr} to ${where}`,
    all: ANYWHERE,
  });
  return [
    holding("token", "use its token from", login.tokenBoundCidrs),
    ...(login.kind === "approle" ? [holding("secret id", "log in from", login["secretIdBoundCidrs"])] : []),
  ];
}
