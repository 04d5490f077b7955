import type { Declared } from "../../access/compare";
import { SetupError } from "../../clients/setup-error";
import { few, printable } from "../../clients/text";
import { LEASE_SCHEMA, maintainRoleOf, makersOf, type TrustToken } from "../../manifest/names";
import { OBJECT_KINDS } from "../../manifest/object-kinds";
import { DEFAULT_CONNECTION_LIMIT, type ManifestDatabase, type ManifestPersona } from "../../manifest/schema";
import type { Attributes, Deployment, StateResource, SuperuserLogin } from "../deployment/deployment";
import { readCatalogs, type Catalogs } from "../postgres/catalogs";
import { livePrivileges } from "../postgres/live-privileges";
import { otherDatabasesNow } from "../postgres/other-databases";
import { LiveLogins } from "../vault/live-logins";

/** What is live, as a manifest, to be compared with what is declared. */
export interface LiveAccess extends Declared {
  /** What was not read, and what is there and no list of a manifest stands for, a line each. */
  readonly notes: readonly string[];
}

/**
 * Reads who has what from PostgreSQL's catalogs and from Vault. What it is called is known from Terraform's state, what was renamed
 * or is no longer declared too. What can't be read of PostgreSQL is taken to be as declared, and what can't be read of Vault as the
 * state has it; a note says so.
 * @param who whose token reads Vault
 * @param missing variables without which PostgreSQL can't be read
 */
export async function readLiveAccess(
  deployment: Deployment,
  who: TrustToken,
  missing: readonly string[],
): Promise<LiveAccess> {
  const { databases, servers } = deployment.manifest;
  const notes: string[] = [];
  const state = await deployment.state(deployment.stack("postgres")!);
  const logins = new LiveLogins(
    deployment.vault().withToken(deployment.token(who)),
    await deployment.state(deployment.stack("vault")!),
  );
  const superusers = missing.length > 0 ? [] : deployment.superusers({ forPlan: true });
  let unread = missing.length > 0 ? `${missing.join(", ")} is not set` : undefined;
  /** What a server says, until one does not answer. */
  const ask = async <T>(server: string, work: (login: SuperuserLogin) => Promise<T>, otherwise: T) => {
    if (unread !== undefined) return otherwise;
    try {
      return await work(superusers.find((login) => login.server === server)!);
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      unread = error.message;
      return otherwise;
    }
  };
  const live: ManifestDatabase[] = [];
  for (const database of databases) {
    const known = new Known(deployment, database, state);
    const { manager, ...mounted } = await logins.connection(database);
    const groups = known.personas.flatMap((persona) => [persona.groupRole, maintainRoleOf(persona)]);
    const roles = [...groups, manager ?? []].flat();
    const catalogs = await ask(
      database.server,
      (login) => readCatalogs(login, database.name, roles, known.schemas).then((found) => found ?? "none"),
      "unread",
    );
    if (catalogs === "none" || known.isNew) continue;
    const found = typeof catalogs === "string" ? undefined : known.ours(catalogs);
    const personas: ManifestPersona[] = [];
    for (const persona of known.personas) {
      const role = await logins.databaseRole(database, persona.groupRole);
      const login = role && (await logins.login(`${role.mount}/creds/${role.name}`));
      const inPostgres = personaIn(database, persona, known, found, notes);
      if (!login || !inPostgres) continue;
      const { creation, mount: _, ...databaseRole } = role;
      const connectionLimit =
        limitOf(persona.groupRole, creation, found?.open) ??
        // Where nothing says it, as up to 0.1.0, nothing is said to change.
        persona.declared?.databaseRole.connectionLimit ??
        DEFAULT_CONNECTION_LIMIT;
      personas.push({
        ...{ name: persona.name, groupRole: persona.groupRole, ...inPostgres, ...login, paths: [] },
        databaseRole: { ...databaseRole, connectionLimit, settings: {} },
      });
    }
    live.push({
      ...database,
      ...{ manager, personas, probeGroups: known.probeGroups },
      vault: { ...database.vault, ...mounted },
      staticRoles: await logins.staticRoles(database, personas),
      ...(found && inCatalogs(database, found, known)),
      ...(found && {
        leases: found.roles.find(({ name }) => name === manager)?.createsRoles ? "createrole" : "functions",
      }),
    });
  }
  const others: Declared["servers"][number][] = [];
  for (const server of servers)
    others.push(
      await ask(
        server.name,
        async (login) => ({ ...server, otherDatabases: await otherDatabasesNow(deployment, login) }),
        server,
      ),
    );
  if (unread !== undefined)
    notes.push(`PostgreSQL was not read, and is taken to be as the config declares it: ${unread}`);
  const gone = undeclaredDatabases(deployment, state);
  if (gone.length > 0)
    notes.push(`not read: what is lost with ${few(gone)}, which the config no longer names`);
  return { servers: others, databases: live, notes: [...notes, ...logins.notes].map(printable) };
}

interface KnownPersona {
  readonly name: string;
  readonly groupRole: string;
  /** undefined where it no longer is. */
  readonly declared?: ManifestPersona;
}

/** What Terraform's state knows of a database. */
class Known {
  readonly personas: readonly KnownPersona[];
  readonly probeGroups: ManifestDatabase["probeGroups"];
  /** Declared or in the state, without that of the lease functions. */
  readonly schemas: readonly string[];
  /** Grants and default privileges in them. */
  readonly grants: readonly Attributes[];
  /** Of the stack, and of the state. */
  readonly allGrants: readonly Attributes[];
  /** Whose later objects are the personas', declared or in the state. */
  readonly makers: readonly string[];
  /** Schemas that a deploy has made. */
  readonly made: readonly string[];

  constructor(
    deployment: Deployment,
    { name, server, schemas, personas }: ManifestDatabase,
    state: readonly StateResource[],
  ) {
    const stack = deployment.stack("postgres")!;
    const here = (type: string) =>
      state
        .filter((one) => one.type === type && one.attributes["database"] === name)
        .map(({ attributes }) => attributes);
    const isOurs = ({ schema }: Attributes) => schema !== LEASE_SCHEMA;
    const grants = here("postgresql_grant").filter(isOurs);
    this.grants = [...grants, ...here("postgresql_default_privileges").filter(isOurs)];
    const declaredGrants = Object.values(stack.json.resource["postgresql_grant"] ?? {})
      .filter(({ provider }) => deployment.serverOf(provider) === server)
      .map((attributes) => deployment.valueIn(stack, attributes) as Attributes)
      .filter(({ database }) => database === name);
    this.allGrants = [...grants, ...declaredGrants];
    this.made = here("postgresql_schema")
      .map((schema) => String(schema["name"]))
      .filter((schema) => schema !== LEASE_SCHEMA);
    const granted = this.grants.flatMap(({ schema }) =>
      typeof schema === "string" && schema !== "" ? schema : [],
    );
    this.schemas = [...new Set([...schemas.map((schema) => schema.name), ...this.made, ...granted])];

    this.makers = [...makersOf({ schemas }), ...this.grants.map(({ owner }) => String(owner))];

    // The addresses of a database's group roles begin alike, and end in the personas' names.
    const declared = new Map<string, ManifestPersona>(
      Object.entries(stack.json.resource["postgresql_role"] ?? {}).flatMap(([id, attributes]) => {
        const role = deployment.resolve(stack, attributes["name"]);
        const isHere = deployment.serverOf(attributes["provider"]) === server;
        const persona = personas.find(({ groupRole }) => groupRole === role);
        return isHere && persona ? [[`postgresql_role.${id}`, persona] as const] : [];
      }),
    );
    const prefixes = [...declared.keys()].map((address) => address.replace(/_Roles_.*$/s, "_Roles_"));
    const roles = state
      .filter(
        ({ type, address }) =>
          type === "postgresql_role" && prefixes.some((prefix) => address.startsWith(prefix)),
      )
      .map(({ address, attributes }) => {
        const persona = declared.get(address);
        const id = persona?.name ?? /_Roles_(.+)_[0-9A-F]{8}$/s.exec(address)?.[1] ?? address;
        return { name: id, groupRole: String(attributes["name"]), declared: persona };
      });
    const isProbe = ({ name: id }: KnownPersona) => id === "VerifyOwner" || id === "VerifyShort";
    const isBeside = ({ groupRole: name }: KnownPersona) =>
      roles.some((persona) => maintainRoleOf(persona) === name);
    this.personas = roles.filter(
      (role) => !isProbe(role) && !(role.name.endsWith("_Maintain") && isBeside(role)),
    );
    const [owner, short] = ["VerifyOwner", "VerifyShort"].map(
      (id) => roles.find((role) => role.name === id)?.groupRole,
    );
    this.probeGroups = owner !== undefined && short !== undefined ? { owner, short } : undefined;
  }

  /** Without what is made later by a role that no deploy had anything to do with. */
  ours(catalogs: Catalogs): Catalogs {
    return { ...catalogs, later: catalogs.later.filter(({ maker }) => this.makers.includes(maker)) };
  }

  get isNew(): boolean {
    return this.personas.length === 0 && this.grants.length === 0;
  }
}

/** @returns undefined where its group role is not there */
function personaIn(
  { schemas }: ManifestDatabase,
  { groupRole, declared }: KnownPersona,
  { allGrants }: Known,
  catalogs: Catalogs | undefined,
  notes: string[],
): Pick<ManifestPersona, "actsAsOwner" | "privileges"> | undefined {
  if (!catalogs) {
    const none = { database: [], schema: [], tables: [], sequences: [], functions: [], namedTables: [] };
    return { actsAsOwner: declared?.actsAsOwner ?? false, privileges: declared?.privileges ?? none };
  }
  const role = catalogs.roles.find(({ name }) => name === groupRole);
  if (!role) return undefined;
  const found = livePrivileges(catalogs, groupRole, declared && allGrants);
  notes.push(...found.notes);
  return {
    actsAsOwner: schemas.some(({ owner }) => role.memberOf.includes(owner)),
    privileges: found.privileges,
  };
}

/** Schemas with their owners and creators, and what PUBLIC has. */
function inCatalogs(
  { schemas: declared, public: kept }: ManifestDatabase,
  { schemas, later, held }: Catalogs,
  { personas, made, grants }: Known,
): Pick<ManifestDatabase, "owner" | "schemas" | "public"> {
  const groups = personas.map(({ groupRole }) => groupRole);
  const publics = held.filter(({ role }) => role === null);
  const taken = grants.filter(({ role }) => role === "public");
  const found = schemas.map(({ name, owner: holder }) => {
    const of = declared.find((schema) => schema.name === name);
    const makers = later
      .filter(({ schema, role }) => schema === name && groups.includes(role))
      .map(({ maker }) => maker);
    const isMaker = (maker: string) => makers.includes(maker);
    // One that was there before may belong to anybody: its owner is whose later objects are the personas'.
    const heir = !of || isMaker(of.owner) ? of?.owner : makers.find((maker) => !of.creators?.includes(maker));
    const owner = made.includes(name) ? holder : (heir ?? of?.owner ?? holder);
    const creators = [...new Set(makers)].filter((maker) => maker !== owner);
    const isTaken = taken.some(({ object_type: type, schema }) => type === "schema" && schema === name);
    return {
      ...{ ...of, name, owner },
      // Nothing says who they are where no persona has anything that is made later.
      creators: makers.length > 0 ? creators : of?.creators,
      public: isTaken
        ? OBJECT_KINDS.schema.privileges.filter((privilege) =>
            publics.some(
              (one) => one.kind === "schema" && one.schema === name && one.privilege === privilege,
            ),
          )
        : of?.public,
    };
  });
  const order = (name: string) => declared.findIndex((schema) => schema.name === name) >>> 0;
  found.sort((a, b) => order(a.name) - order(b.name));
  const lists = {
    database: OBJECT_KINDS.database.privileges.filter((privilege) =>
      publics.some((one) => one.kind === "database" && one.privilege === privilege),
    ),
    schema: [],
    functions: OBJECT_KINDS.functions.privileges.filter(() =>
      publics.some(({ kind }) => kind === "functions"),
    ),
  };
  // Where no deploy has taken anything of it, it keeps what it has.
  const untaken = kept === "take" ? ("keep" as const) : kept;
  return {
    owner: found[0]?.owner ?? declared[0]!.owner,
    schemas: found,
    public: taken.length > 0 ? lists : untaken,
  };
}

/** @returns undefined where neither says it */
function limitOf(group: string, creation: string, open: string | null | undefined): number | undefined {
  const inStatements = /CONNECTION LIMIT (\d+)/.exec(creation)?.[1];
  // A row of the function's groups: role, heir, schema, sessions.
  const rows = [...(open ?? "").matchAll(/\('([^']+)', '[^']*', '[^']*', (\d+)\)/g)];
  const found = inStatements ?? rows.find(([, name]) => name === group)?.[2];
  return found === undefined ? undefined : Number(found);
}

/** Of which nothing but what they are called is known. */
function undeclaredDatabases({ manifest }: Deployment, state: readonly StateResource[]): string[] {
  const names = manifest.databases.map(({ name }) => name);
  const found = state.flatMap(({ attributes: { database } }) =>
    typeof database === "string" && !names.includes(database) ? `the database ${database}` : [],
  );
  return [...new Set(found)];
}
