import { escapeLiteral as literal } from "pg";
import { LEASED } from "../../manifest/names";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";

/** Listings and catalogs are read one after the other, with leases made and revoked in between by others. */
const ATTEMPTS = 3;

/** Vault's leases of the probe roles, which the verifier may list, and PostgreSQL's logins in their groups. */
export async function probeLeases(context: DatabaseContext, check: Check): Promise<void> {
  const { probes, probeGroups, vault } = context.database;
  for (const which of ["owner", "short"] as const) {
    const group = probeGroups?.[which];
    if (!probes || group === undefined) continue;
    const prefix = `${vault.mount}/creds/${probes[which]}`;
    let difference: string | undefined;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      difference = await differenceOf(context, prefix, group, check);
      if (difference === undefined) break;
    }
    check.find(difference);
  }
}

/** @param prefix of the leases @param group PostgreSQL's, of their logins */
async function differenceOf(
  { owner: catalogs, vault }: DatabaseContext,
  prefix: string,
  group: string,
  check: Check,
): Promise<string | undefined> {
  const list = async () => {
    const answer = await vault.request("LIST", `sys/leases/lookup/${prefix}/`);
    check.noteAnswer(answer);
    return (answer.body.data?.["keys"] ?? []) as string[];
  };
  const before = await list();
  const members = await catalogs.read<{ name: string }>(
    `SELECT m.rolname AS name
     FROM pg_auth_members JOIN pg_roles g ON g.oid = roleid JOIN pg_roles m ON m.oid = member
     WHERE g.rolname = ${literal(group)} AND m.rolname ~ '${LEASED}'
     ORDER BY 1`,
    check,
  );
  const logins = members.map(({ name }) => name).join(", ") || "none";
  const after = await list();
  // What was there before and after was there in between.
  const steady = before.filter((id) => after.includes(id));
  const any = [...new Set([...before, ...after])];
  const leases = (ids: readonly string[]) => ids.map((id) => `${prefix}/${id}`).join(", ") || "no lease";
  if (steady.length > members.length)
    return `a lease without a login: Vault has ${leases(steady)}; PostgreSQL has ${logins} in ${group}`;
  if (members.length > any.length)
    return `a login without a lease: PostgreSQL has ${logins} in ${group}; Vault has ${leases(any)}`;
  return undefined;
}
