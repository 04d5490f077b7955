import { escapeIdentifier, type Client, type DatabaseError } from "pg";
import { groupRolesOf, leaseMark, RESERVED_SLOTS } from "../../manifest/names";
import type { ManifestDatabase } from "../../manifest/schema";
import type { Deployment } from "../deployment/deployment";
import { managed } from "./manager-login";
import { asSuperuser } from "./superuser";

/** SQLSTATEs of a statement about a lease that ends meanwhile: the role is gone; its row was changed, or is being changed. */
const MEANWHILE = ["42704", "XX000", "55P03", "40P01"];
/** A grant depends on another. */
const DEPENDENT_OBJECTS = "2BP01";
const ATTEMPTS = 5;

interface Membership {
  readonly role: string;
  readonly member: string;
  /** null where it is gone, as up to 15 it may be. */
  readonly grantor: string | null;
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
    const { rows } = await client.query<{ powers: boolean; memberships: number }>(
      `SELECT rolcreaterole AS powers,
         (SELECT count(*)::int FROM pg_auth_members WHERE member = r.oid AND pg_get_userbyid(roleid) <> $2) AS memberships
       FROM pg_roles r WHERE rolname = $1`,
      [manager, RESERVED_SLOTS],
    );
    const [found] = rows;
    if (!found || (!found.powers && found.memberships === 0)) return [];
    // From then on nobody gives it a lease (sql/functions/body/open.sql).
    await persistently(client, async () => {
      await client.query(`ALTER ROLE ${escapeIdentifier(manager)} NOCREATEROLE`);
    });
    await takeMemberships(client, manager);
    return [
      `took from ${manager} what leases by functions do without: ` +
        [found.powers && "CREATEROLE", found.memberships > 0 && `${String(found.memberships)} memberships`]
          .filter(Boolean)
          .join(" and "),
    ];
  });
  return did ?? [];
}

/** Each lease on its own, since others are leased and revoked meanwhile; and again, with what those on their way have got. */
async function takeMemberships(client: Client, manager: string): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    try {
      await takeOver(client, manager, await grantedBy(client, manager));
      const held = (await memberships(client, "member", manager)).filter(
        ({ role }) => role !== RESERVED_SLOTS,
      );
      if (held.length === 0) return;
      for (const membership of held) await whileThere(client, membership, revokeText(membership));
    } catch (error) {
      if (attempt === ATTEMPTS || (error as DatabaseError).code !== DEPENDENT_OBJECTS) throw error;
    }
  }
}

/** What Vault's login has granted is the superuser's grant from then on; no living lease is without its group at any time. */
async function takeOver(client: Client, manager: string, granted: readonly Membership[]): Promise<void> {
  for (const membership of granted) {
    const { role, member } = membership;
    const given = `${lockText(member)}; GRANT ${escapeIdentifier(role)} TO ${escapeIdentifier(member)}`;
    const taken = revokeText({ role, member, grantor: manager });
    // What it has given itself, as it ends a lease, nobody else needs.
    await whileThere(client, membership, member === manager ? taken : `${given}; ${taken}`);
  }
}

/**
 * Locks a lease's role, and changes nothing. A lease that is ending is waited for before its group is locked, in which others are
 * leased; and is not found any more afterwards, where PostgreSQL would grant a role that is gone by then.
 */
function lockText(lease: string): string {
  const role = escapeIdentifier(lease);
  // Without the warning that it is no member of itself.
  return `SET LOCAL log_min_messages = error; REVOKE ${role} FROM ${role}`;
}

function revokeText({ role, member, grantor }: Membership): string {
  const by = grantor === null ? "" : ` GRANTED BY ${escapeIdentifier(grantor)}`;
  return `REVOKE ${escapeIdentifier(role)} FROM ${escapeIdentifier(member)}${by}`;
}

/** Sends statements about a membership, which are one transaction, unless it is gone meanwhile. */
function whileThere(client: Client, membership: Membership, text: string): Promise<void> {
  return persistently(client, async () => {
    if (await isThere(client, membership)) await client.query(text);
  });
}

/** Does something again where what it is about changes meanwhile. */
async function persistently(client: Client, work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await work();
      return;
    } catch (error) {
      // Of a connection that has ended, the first error tells more.
      await client.query("ROLLBACK").catch(() => undefined);
      if (attempt === ATTEMPTS || !MEANWHILE.includes((error as DatabaseError).code ?? "")) throw error;
    }
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
  if (!(await managed(deployment)).some(({ name }) => name === database.name)) return [];
  const stack = deployment.stack("postgres")!;
  const declared = Object.entries(stack.json.resource["postgresql_grant_role"] ?? {})
    .filter(([, { provider }]) => deployment.serverOf(provider) === database.server)
    .map(([id]) => `postgresql_grant_role.${id}`);
  const known = (await deployment.state(stack))
    .filter(({ address, attributes }) => declared.includes(address) && attributes["role"] === manager)
    .map(({ attributes }) => String(attributes["grant_role"]));
  const did = await asSuperuser(deployment.superuserOf(database), async (client) => {
    const granted = await grantedBy(client, manager);
    const unknown = granted.filter(({ role, member }) => member !== manager && !known.includes(role));
    if (unknown.length === 0) return [];
    await takeOver(client, manager, unknown);
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

/** What depends on the memberships of a role. */
async function grantedBy(client: Client, manager: string): Promise<Membership[]> {
  return (await dependsOnGrantors(client)) ? memberships(client, "grantor", manager) : [];
}

const NAMED_MEMBERSHIPS = `
  FROM pg_auth_members m
    JOIN pg_authid r ON r.oid = m.roleid JOIN pg_authid u ON u.oid = m.member LEFT JOIN pg_authid g ON g.oid = m.grantor`;

async function isThere(client: Client, { role, member, grantor }: Membership): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT ${NAMED_MEMBERSHIPS} WHERE r.rolname = $1 AND u.rolname = $2 AND g.rolname IS NOT DISTINCT FROM $3`,
    [role, member, grantor],
  );
  return rowCount === 1;
}

async function memberships(client: Client, side: "grantor" | "member", name: string): Promise<Membership[]> {
  const { rows } = await client.query<Membership>(
    `SELECT r.rolname AS role, u.rolname AS member, g.rolname AS grantor ${NAMED_MEMBERSHIPS}
     WHERE m.${side} = (SELECT oid FROM pg_authid WHERE rolname = $1) ORDER BY 1, 2`,
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
  const groups = groupRolesOf(database);
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
           OR EXISTS (SELECT FROM pg_auth_members
             WHERE member = r.oid AND pg_get_userbyid(grantor) <> $1 AND pg_get_userbyid(roleid) = ANY ($3))
         )
       ORDER BY 1`,
      [manager, mark, groups],
    );
    for (const { name } of leases) await persistently(client, () => giveLease(client, manager, name, groups));
    if (leases.length > 0)
      done.push(
        `gave ${manager} ${String(leases.length)} living leases, which it could not revoke otherwise`,
      );
    return done;
  });
  return did ?? [];
}

/** Unless it has ended meanwhile. What others have granted it beside its group stays theirs. */
async function giveLease(
  client: Client,
  manager: string,
  lease: string,
  groups: readonly string[],
): Promise<void> {
  const { rowCount } = await client.query("SELECT FROM pg_roles WHERE rolname = $1", [lease]);
  if (rowCount === 0) return;
  const [leased, login] = [escapeIdentifier(lease), escapeIdentifier(manager)];
  await client.query("BEGIN");
  await client.query(lockText(lease));
  await client.query(`GRANT ${leased} TO ${login} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE`);
  for (const { role, grantor } of await memberships(client, "member", lease))
    if (grantor !== manager && groups.includes(role)) {
      await client.query(`GRANT ${escapeIdentifier(role)} TO ${leased} GRANTED BY ${login}`);
      await client.query(revokeText({ role, member: lease, grantor }));
    }
  await client.query("COMMIT");
}
