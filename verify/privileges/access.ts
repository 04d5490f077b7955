import type { LeasedContext } from "../context";
import type { Check } from "../report/check";
import type { Session } from "../session/session";
import { declaredMemberships, isDeclaredMembership } from "./declared";
import { revokingMembership } from "./mends";
import { grantsTo, PUBLIC, type Grant } from "./grants";

/** An edge of pg_auth_members. */
export interface Membership {
  readonly role: string;
  readonly member: string;
  readonly grantor: string;
  readonly admin: boolean;
  /** Before PostgreSQL 16 the member's attribute, and SET always true. */
  readonly inherits: boolean;
  readonly sets: boolean;
}

/** What a leased login can act as, by the catalogs. */
export interface Access {
  readonly login: string;
  /** The login and each role that it may SET ROLE to. */
  readonly roles: readonly string[];
  /** All memberships from the login upwards. */
  readonly memberships: readonly Membership[];
  /** What is granted to these roles and to PUBLIC, but for what PostgreSQL grants from the start. */
  readonly grants: readonly Grant[];
}

/** SQL for a {@link Membership}, over an alias of pg_auth_members. */
export function membershipColumns(edge: string): string {
  return `pg_get_userbyid(${edge}.roleid) AS role,
         pg_get_userbyid(${edge}.member) AS member,
         pg_get_userbyid(${edge}.grantor) AS grantor,
         ${edge}.admin_option AS admin,
         coalesce(
           (to_jsonb(${edge})->>'inherit_option')::boolean,
           (SELECT rolinherit FROM pg_roles WHERE oid = ${edge}.member)
         ) AS inherits,
         coalesce((to_jsonb(${edge})->>'set_option')::boolean, true) AS sets`;
}

/** SQL for the kind of membership that SET ROLE asks for: before PostgreSQL 16 any lets its holder change to the role. */
export const SET_OR_MEMBER =
  "CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END";

export async function readAccess(catalogs: Session, login: string): Promise<Access> {
  const memberships = await catalogs.query<Membership & { reached: boolean }>(
    `WITH RECURSIVE held AS (
       SELECT * FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = $1)
       UNION
       SELECT m.* FROM pg_auth_members m JOIN held ON m.member = held.roleid
     )
     SELECT ${membershipColumns("held")},
       pg_has_role($1::name, roleid, ${SET_OR_MEMBER}) AS reached
     FROM held ORDER BY 1, 2, 3`,
    [login],
  );
  const reached = memberships.filter((membership) => membership.reached).map(({ role }) => role);
  const roles = [...new Set([login, ...reached])];
  return { login, roles, memberships, grants: await grantsTo(catalogs, [...roles, PUBLIC]) };
}

export function membershipText({ role, member, grantor, admin }: Membership): string {
  return `membership of ${member} in ${role}, granted by ${grantor}${admin ? " WITH ADMIN OPTION" : ""}`;
}

/** Memberships from the leased login upwards: those that are declared, without ADMIN OPTION, and no others. */
export function memberships(
  context: Pick<LeasedContext, "database" | "persona" | "access">,
  check: Check,
): void {
  const found = context.access.memberships;
  for (const membership of found) {
    const { admin, inherits, sets } = membership;
    const text = membershipText(membership);
    check.note("pg_auth_members", text);
    if (!isDeclaredMembership(context, membership))
      check.findWith(`not declared: ${text}`, { mends: [revokingMembership(membership)] });
    else if (admin)
      check.findWith(`not declared: ${text}`, {
        mends: [revokingMembership(membership, "ADMIN OPTION FOR ")],
      });
    else if (!inherits || !sets) check.find(`${text}, is without ${inherits ? "SET" : "INHERIT"}`);
  }
  for (const { member, role } of declaredMemberships(context))
    if (!found.some((membership) => membership.member === member && membership.role === role))
      check.find(`declared and missing: membership of ${member} in ${role}`);
}
