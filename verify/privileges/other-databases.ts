import { grantText, PUBLIC, type Access } from "./catalogs";
import type { Lease } from "../session/leases";
import type { Check } from "../report/check";
import { INSUFFICIENT_PRIVILEGE, loginRefusal, type PostgresAddress, type Session } from "../session/session";

/**
 * The server's other databases: a login to those that are declared must be refused. Of the rest it is noted whether the
 * login may connect. It does not: who is in template1 keeps others from creating a database.
 */
export async function otherDatabases(
  asker: Session,
  address: PostgresAddress,
  lease: Lease,
  access: Access,
  declared: readonly string[],
  check: Check,
): Promise<string | undefined> {
  const databases = await asker.query<{ name: string; quoted: string; held: boolean }>(
    "SELECT datname AS name, quote_ident(datname) AS quoted, has_database_privilege($1, oid, 'CONNECT') AS held FROM pg_database WHERE datallowconn AND datname <> current_database() ORDER BY 1",
    [lease.username],
  );
  const findings: string[] = [];
  for (const { name, quoted, held } of databases) {
    const known = declared.includes(name);
    check.note(
      `has_database_privilege: CONNECT on ${name}${known ? "" : ", which is not in the manifest"}`,
      String(held),
    );
    if (!known) continue;
    const refusal = await loginRefusal(address, name, lease);
    check.note(`login as ${lease.username} to ${name}`, refusal ? `SQLSTATE ${refusal}` : "a session");
    if (!held && refusal === INSUFFICIENT_PRIVILEGE) continue;
    const causes = access.grants
      .filter(
        ({ kind, object, privilege }) => kind === "database" && object === quoted && privilege === "CONNECT",
      )
      .filter(({ grantee }) => grantee === PUBLIC || access.roles.includes(grantee))
      .map(grantText);
    const found = refusal === undefined ? "is allowed" : `is refused with ${refusal}`;
    const differs =
      held === (refusal === undefined) ? "" : `, but is ${held ? "held" : "not held"} by the catalogs`;
    findings.push(
      `CONNECT on ${name} is not declared and ${found}${differs}: ${causes.join("; ") || "no grant says so"}`,
    );
  }
  return findings.length ? findings.join("; ") : undefined;
}
