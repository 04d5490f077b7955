import { escapeIdentifier as ident } from "pg";
import { OBJECT_KINDS, privilegesOn, type ObjectKind } from "../../manifest/object-kinds";
import type { Mend } from "../report/mend";
import type { Target } from "../session/targets";
import type { Membership } from "./access";
import { PUBLIC, type Grant } from "./grants";
import type { MatrixRow } from "./row";

// Statements that would mend a finding: for a superuser to read and run, in the database that it is of. Each may be run again.

const role = (name: string) => (name === PUBLIC ? "PUBLIC" : ident(name));

/** `GRANT` and `REVOKE` take these for kinds of objects of any kind of the kind. */
const KEYWORDS: Readonly<Record<string, string>> = {
  function: "ROUTINE",
  "foreign-data wrapper": "FOREIGN DATA WRAPPER",
};

/** Takes what was granted, or the right to pass it on. */
export function revoking(grant: Grant): Mend {
  const { later, kind, owner, schema, privilege, grantee, grantor, grantable, relation, column } = grant;
  const { object, procedure } = grant;
  const what = `${grantable ? "GRANT OPTION FOR " : ""}${privilege}`;
  if (later)
    return `${defaults(owner, schema)} REVOKE ${what} ON ${kind.toUpperCase()} FROM ${role(grantee)}`;
  const before =
    column === null
      ? `REVOKE ${what} ON ${KEYWORDS[kind] ?? kind.toUpperCase()}`
      : `REVOKE ${what} (${ident(column)}) ON TABLE`;
  const on = column === null ? (procedure ?? object) : `${ident(schema!)}.${ident(relation!)}`;
  const after = `FROM ${role(grantee)}`;
  // A superuser revokes as the object's owner, who has granted nothing here.
  return grantor === owner || kind === "parameter"
    ? { before, object: on, after }
    : { before: `SET LOCAL ROLE ${ident(grantor)}; ${before}`, object: on, after: `${after}; RESET ROLE` };
}

/** @param option such as `ADMIN OPTION FOR `. @default - the membership itself */
export function revokingMembership({ role: group, member, grantor }: Membership, option = ""): string {
  return `REVOKE ${option}${ident(group)} FROM ${ident(member)} GRANTED BY ${ident(grantor)}`;
}

/** Gives a group what is declared for it, now or by default privileges. Nothing where it can't be granted. */
export function granting(
  { kind: ofRow, name: called, privilege = called }: MatrixRow,
  { name, procedure = name, probe, schema, columns = [] }: Target,
  group: string,
): Mend[] {
  const after = `TO ${ident(group)}`;
  if (ofRow === "columns")
    return [
      { before: `GRANT ${privilege} (${columns.map(ident).join(", ")}) ON TABLE`, object: name, after },
    ];
  const kind = ofRow as ObjectKind;
  const privileges: readonly string[] = kind in OBJECT_KINDS ? privilegesOn(kind) : [];
  if (!privileges.includes(privilege)) return [];
  if (probe)
    return [`${defaults(schema!.owner, schema!.name)} GRANT ${privilege} ON ${kind.toUpperCase()} ${after}`];
  const object = kind === "database" || kind === "schema" ? ident(name) : procedure;
  const keyword = kind === "functions" ? "ROUTINE" : OBJECT_KINDS[kind].keyword;
  return [{ before: `GRANT ${privilege} ON ${keyword}`, object, after }];
}

/** Of views and sequences as well. */
export function givingTo(owner: string, { kind }: MatrixRow, { name, procedure = name }: Target): string {
  return `ALTER ${kind === "functions" ? "ROUTINE" : "TABLE"} ${procedure} OWNER TO ${ident(owner)}`;
}

function defaults(owner: string, schema: string | null): string {
  return `ALTER DEFAULT PRIVILEGES FOR ROLE ${ident(owner)}${schema === null ? "" : ` IN SCHEMA ${ident(schema)}`}`;
}
