import { ownersOf } from "../../manifest/names";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import { revoking } from "./mends";
import { rolesOf, schemaNames } from "./declared";
import { grantsToOthers, grantText, isHere, objectText, type Grant } from "./grants";

/** Whoever holds something on the database, in its schemas or on what is the owner's, now or later, without being declared. */
export async function undeclaredRoles(context: DatabaseContext, check: Check): Promise<void> {
  const { owner: catalogs, database, acceptance } = context;
  const granted = await grantsToOthers(catalogs, rolesOf(database));
  const found = granted.filter((grant) => concerns(grant, context));
  const what = "aclexplode of every ACL, for roles that are not declared";
  check.note(what, found.map(grantText).join("; ") || "nothing");
  // One finding for what a role holds on all objects of a kind: its id stays when tables come and go.
  const byId = new Map<string, [Grant, ...Grant[]]>();
  for (const grant of found) {
    const { kind, later, schema, grantee, privilege, grantable } = grant;
    const on = later || kind === "database" ? objectText(grant) : `${kind} in ${schema ?? "the database"}`;
    const id = `grant:${on}:${privilege} to ${grantee}${grantable ? " WITH GRANT OPTION" : ""}`;
    byId.set(id, [...(byId.get(id) ?? []), grant] as [Grant, ...Grant[]]);
  }
  acceptance.find(
    check,
    [...byId].map(([id, [first, ...more]]) => ({
      id,
      text: grantText(first) + (more.length > 0 ? ` and ${String(more.length)} more` : ""),
      objects: more.length > 0 ? [first, ...more].map(({ object }) => object) : [],
      mends: [first, ...more].map(revoking),
    })),
    "not declared: ",
  );
}

function concerns(grant: Grant, { database }: DatabaseContext): boolean {
  const { kind, later, schema, owner, privilege, extension, grantee, grantable } = grant;
  if (extension !== null) return false;
  // Who is to create in a schema may.
  const declared = database.schemas.find(({ name }) => kind === "schema" && name === schema);
  if (declared?.creators?.includes(grantee) && !grantable) return false;
  // Who else may connect is the server's matter, and what they can do there is found by the rest.
  if (kind === "database") return privilege === "CREATE" && isHere(grant, database);
  if (ownersOf(database).includes(owner)) return true;
  return schema === null ? later : schemaNames(database).includes(schema);
}
