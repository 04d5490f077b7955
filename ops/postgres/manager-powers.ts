import { escapeIdentifier, type Client, type DatabaseError } from "pg";
import { SetupError } from "../../clients/setup-error";
import { printable } from "../../clients/text";
import { LEASE_FUNCTIONS, LEASE_SCHEMA, leaseMark } from "../../manifest/names";
import type { ManifestDatabase } from "../../manifest/schema";
import type { Deployment, SuperuserLogin } from "../deployment/deployment";
import { asSuperuser } from "./superuser";

/** What Vault's login keeps either way: a slot in a server that is full. */
const KEPT = "pg_use_reserved_connections";
/** A grant, or an object, depends on another. */
const DEPENDENT_OBJECTS = "2BP01";
const ATTEMPTS = 5;

interface Membership {
  readonly role: string;
  readonly member: string;
  readonly grantor: string;
}

/**
 * Takes from Vault's login what leases by functions do without: CREATEROLE and every membership. For after Vault has switched to them.
 * Whoever got a group from that login keeps it, granted by the superuser.
 * @returns what was done, a line each
 */
export async function takePowers(deployment: Deployment, database: ManifestDatabase): Promise<string[]> {
  const { manager } = database;
  if (manager === undefined) return [];
  const did = await asSuperuser(deployment.superuserOf(database), async (client) => {
    const { rows } = await client.query<{ name: string; powers: boolean; memberships: number }>(
      `SELECT rolcreaterole AS powers,
         (SELECT count(*)::int FROM pg_auth_members WHERE member = r.oid AND pg_get_userbyid(roleid) <> $2) AS memberships
       FROM pg_roles r WHERE rolname = $1`,
      [manager, KEPT],
    );
    const [found] = rows;
    if (!found || (!found.powers && found.memberships === 0)) return [];
    for (let attempt = 1; ; attempt += 1) {
      try {
        await takeMemberships(client, manager);
        break;
      } catch (error) {
        await client.query("ROLLBACK");
        // A lease that was on its way got its group in between.
        if ((error as DatabaseError).code !== DEPENDENT_OBJECTS || attempt === ATTEMPTS) throw error;
      }
    }
    return [
      `took from ${manager} what leases by functions do without: ` +
        [found.powers && "CREATEROLE", found.memberships > 0 && `${String(found.memberships)} memberships`]
          .filter(Boolean)
          .join(" and "),
    ];
  });
  return did ?? [];
}

/** In one transaction, so that no living lease is without its group at any time. */
async function takeMemberships(client: Client, manager: string): Promise<void> {
  const login = escapeIdentifier(manager);
  await client.query("BEGIN");
  await client.query(`ALTER ROLE ${login} NOCREATEROLE`);
  if (await dependsOnGrantors(client))
    await takeOver(client, manager, await memberships(client, "grantor", manager));
  for (const { role, grantor } of await memberships(client, "member", manager))
    if (role !== KEPT)
      await client.query(
        `REVOKE ${escapeIdentifier(role)} FROM ${login} GRANTED BY ${escapeIdentifier(grantor)}`,
      );
  await client.query("COMMIT");
}

/** What Vault's login has granted is the superuser's grant from then on. */
async function takeOver(client: Client, manager: string, granted: readonly Membership[]): Promise<void> {
  for (const { role, member } of granted) {
    const [group, to] = [escapeIdentifier(role), escapeIdentifier(member)];
    await client.query(`GRANT ${group} TO ${to}`);
    await client.query(`REVOKE ${group} FROM ${to} GRANTED BY ${escapeIdentifier(manager)}`);
  }
}

/**
 * Makes way for Terraform where a switch to functions was stopped before its end and is taken back. It has forgotten the
 * memberships of Vault's login, and takes each before it gives it, which PostgreSQL 16 and later refuses while leases have their
 * group from that login. For right before the stack postgres makes them.
 */
export async function freeMemberships(deployment: Deployment, database: ManifestDatabase): Promise<string[]> {
  const { manager } = database;
  if (manager === undefined) return [];
  const known = (await deployment.state(deployment.stack("postgres")!))
    .filter(({ type, attributes }) => type === "postgresql_grant_role" && attributes["role"] === manager)
    .map(({ attributes }) => String(attributes["grant_role"]));
  const did = await asSuperuser(deployment.superuserOf(database), async (client) => {
    if (!(await dependsOnGrantors(client))) return [];
    const granted = await memberships(client, "grantor", manager);
    const unknown = granted.filter(({ role, member }) => member !== manager && !known.includes(role));
    if (unknown.length === 0) return [];
    await client.query("BEGIN");
    await takeOver(client, manager, unknown);
    await client.query("COMMIT");
    return [`took over what ${manager} has granted to ${String(unknown.length)} living leases`];
  });
  return did ?? [];
}

/** Up to 15 a member has a group once, whoever granted it. */
async function dependsOnGrantors(client: Client): Promise<boolean> {
  const { rowCount } = await client.query(
    "SELECT WHERE current_setting('server_version_num')::int >= 160000",
  );
  return rowCount === 1;
}

async function memberships(client: Client, side: "grantor" | "member", name: string): Promise<Membership[]> {
  const { rows } = await client.query<Membership>(
    `SELECT pg_get_userbyid(roleid) AS role, pg_get_userbyid(member) AS member, pg_get_userbyid(grantor) AS grantor
     FROM pg_auth_members WHERE ${side} = (SELECT oid FROM pg_roles WHERE rolname = $1) ORDER BY 1, 2`,
    [name],
  );
  return rows;
}

/**
 * Gives Vault's login what it needs to lease without functions: CREATEROLE, and on PostgreSQL 16 and later ADMIN on each living
 * lease, as if it had made it, and its groups from that login. For before Vault leases so, and again for leases made until then.
 * @returns what was done, a line each
 */
export async function givePowers(deployment: Deployment, database: ManifestDatabase): Promise<string[]> {
  const { manager } = database;
  if (manager === undefined) return [];
  const mark = leaseMark(deployment.manifest.environment, database.name);
  const did = await asSuperuser(deployment.superuserOf(database), async (client) => {
    const login = escapeIdentifier(manager);
    const done: string[] = [];
    const { rowCount } = await client.query("SELECT FROM pg_roles WHERE rolname = $1 AND NOT rolcreaterole", [
      manager,
    ]);
    if (rowCount === 1) {
      await client.query(`ALTER ROLE ${login} CREATEROLE`);
      done.push(`gave ${manager} CREATEROLE, with which it leases`);
    }
    // Up to 15 CREATEROLE is enough.
    if (!(await dependsOnGrantors(client))) return done;
    const { rows: leases } = await client.query<{ name: string }>(
      `SELECT rolname AS name FROM pg_roles r WHERE (shobj_description(oid, 'pg_authid') = $2 OR starts_with(shobj_description(oid, 'pg_authid'), $2 || ':'))
         AND EXISTS (SELECT FROM pg_roles WHERE rolname = $1)
         AND (
           NOT EXISTS (SELECT FROM pg_auth_members
             WHERE roleid = r.oid AND pg_get_userbyid(member) = $1 AND admin_option)
           OR EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid AND pg_get_userbyid(grantor) <> $1)
         )
       ORDER BY 1`,
      [manager, mark],
    );
    for (const { name } of leases) await giveLease(client, login, manager, name);
    if (leases.length > 0)
      done.push(
        `gave ${manager} ${String(leases.length)} living leases, which it could not revoke otherwise`,
      );
    return done;
  });
  return did ?? [];
}

async function giveLease(client: Client, login: string, manager: string, lease: string): Promise<void> {
  const leased = escapeIdentifier(lease);
  await client.query("BEGIN");
  await client.query(`GRANT ${leased} TO ${login} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE`);
  for (const { role, grantor } of await memberships(client, "member", lease))
    if (grantor !== manager) {
      const group = escapeIdentifier(role);
      await client.query(`GRANT ${group} TO ${leased} GRANTED BY ${login}`);
      await client.query(`REVOKE ${group} FROM ${leased} GRANTED BY ${escapeIdentifier(grantor)}`);
    }
  await client.query("COMMIT");
}

/**
 * Has Terraform take the functions that are there and not in its state, which it would fail to make: a switch away from them, or a
 * deploy that made them, was stopped before its end, and Vault may call them. For right before the stack postgres makes them.
 * @returns what was done, a line each
 */
export async function adoptFunctions(deployment: Deployment, database: ManifestDatabase): Promise<string[]> {
  const stack = deployment.stack("postgres")!;
  const state = await deployment.state(stack);
  const isKnown = (address: string) => state.some((resource) => resource.address === address);
  const unknown = Object.entries(stack.json.resource["postgresql_function"] ?? {})
    .map(([id, { name, database: on }]) => ({ address: `postgresql_function.${id}`, name: String(name), on }))
    .filter(({ address, on }) => on === database.name && !isKnown(address));
  if (unknown.length === 0) return [];
  const found = await asSuperuser(
    deployment.superuserOf(database),
    (client) => lastingFunctions(client),
    database.name,
  );
  const did: string[] = [];
  for (const { name, signature } of found ?? []) {
    const { address } = unknown.find((each) => each.name === name) ?? {};
    if (address === undefined) continue;
    deployment.restore(stack);
    await deployment.terraform(stack, undefined).import(address, `${database.name}.${signature}`);
    did.push(`taking back the function ${signature}, which a deploy that did not come to its end has left`);
  }
  return did;
}

/** Those of the lease functions that are there and the superuser's. */
async function lastingFunctions(client: Client): Promise<{ name: string; signature: string }[]> {
  const functions = Object.entries(LEASE_FUNCTIONS).map(([name, args]) => ({
    name,
    signature: `${LEASE_SCHEMA}.${name}(${args.map(() => "text").join(",")})`,
  }));
  const { rows } = await client.query<{ signature: string }>(
    `SELECT signature FROM unnest($1::text[]) AS signature JOIN pg_proc p ON p.oid = to_regprocedure(signature)
     WHERE pg_get_userbyid(proowner) = current_user AND prosecdef`,
    [functions.map(({ signature }) => signature)],
  );
  return functions.filter(({ signature }) => rows.some((row) => row.signature === signature));
}

/**
 * Drops the functions, once Vault no longer calls them, and their schema, unless something else is in it.
 * @returns what was done, a line each
 */
export async function dropFunctions(deployment: Deployment, database: ManifestDatabase): Promise<string[]> {
  const did = await asSuperuser(
    deployment.superuserOf(database),
    async (client) => {
      const functions = await lastingFunctions(client);
      if (functions.length > 0)
        await client.query(`DROP FUNCTION ${functions.map(({ signature }) => signature).join(", ")}`);
      const schema = await client.query(
        "SELECT FROM pg_namespace WHERE nspname = $1 AND pg_get_userbyid(nspowner) = current_user AND nspname <> ALL ($2)",
        [LEASE_SCHEMA, database.schemas.map(({ name }) => name)],
      );
      if (schema.rowCount === 1)
        await client.query(`DROP SCHEMA ${LEASE_SCHEMA}`).catch((error: unknown) => {
          if ((error as DatabaseError).code !== DEPENDENT_OBJECTS) throw error;
        });
      return functions.length > 0
        ? [`dropped the functions of the schema ${LEASE_SCHEMA}, which Vault no longer calls`]
        : [];
    },
    database.name,
  );
  return did ?? [];
}

/**
 * Whoever owns the schema or a function there could replace what Vault's login calls. For before the stack postgres writes them.
 * @returns nothing that was done
 * @throws SetupError
 */
export async function checkLeaseSchema(
  deployment: Deployment,
  database: ManifestDatabase,
): Promise<string[]> {
  const login = deployment.superuserOf(database);
  await asSuperuser(login, (client) => checkOwners(client, login, database), database.name);
  return [];
}

/**
 * Checks it again, since somebody may have been faster than Terraform, and takes what the superuser's default privileges have
 * given others there: whoever may create in that schema could have Vault's login call a function of theirs. For before Vault does.
 * @returns what was done, a line each
 * @throws SetupError
 */
export async function closeLeaseSchema(
  deployment: Deployment,
  database: ManifestDatabase,
): Promise<string[]> {
  const login = deployment.superuserOf(database);
  const did = await asSuperuser(
    login,
    async (client) => {
      await checkOwners(client, login, database);
      const { rows } = await client.query<{ object: string; grantee: string }>(
        `WITH granted AS (
           SELECT format('SCHEMA %I', nspname) AS object, (aclexplode(nspacl)).grantee
             FROM pg_namespace WHERE nspname = $1
           UNION
           SELECT format('ROUTINE %s', p.oid::regprocedure), (aclexplode(proacl)).grantee
             FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = $1
         )
         SELECT object, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee
         FROM granted WHERE pg_get_userbyid(grantee) NOT IN (current_user, $2) ORDER BY 1, 2`,
        [LEASE_SCHEMA, database.manager ?? ""],
      );
      for (const { object, grantee } of rows)
        await client.query(`REVOKE ALL ON ${object} FROM ${grantee} CASCADE`);
      return rows.map(
        ({ object, grantee }) =>
          `took from ${printable(grantee)} what it had on ${printable(object)}, which is for Vault's login alone`,
      );
    },
    database.name,
  );
  return did ?? [];
}

/** @throws SetupError */
async function checkOwners(
  client: Client,
  { user }: SuperuserLogin,
  database: ManifestDatabase,
): Promise<void> {
  const { rows } = await client.query<{ owner: string; object: string }>(
    `SELECT pg_get_userbyid(nspowner) AS owner, 'the schema ' || nspname AS object
       FROM pg_namespace WHERE nspname = $1 AND pg_get_userbyid(nspowner) <> current_user
     UNION ALL
     SELECT pg_get_userbyid(proowner), 'the function ' || p.oid::regprocedure
       FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
       WHERE nspname = $1 AND pg_get_userbyid(proowner) <> current_user
     LIMIT 1`,
    [LEASE_SCHEMA],
  );
  const [found] = rows;
  if (found)
    throw new SetupError(
      `${printable(found.object)} in the database ${printable(database.name)} belongs to ${printable(found.owner)}, and what Vault's login is to call there is run as ${printable(user)}: drop it or rename it, then run the command again`,
    );
}
