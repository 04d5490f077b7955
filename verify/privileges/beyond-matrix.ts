import { escapeLiteral as literal } from "pg";
import { holderOf, makersOf } from "../../manifest/names";
import type { ColumnPrivilege } from "../../manifest/object-kinds";
import { privilegesIn } from "../../manifest/privileges";
import type { LeasedContext, SessionContext } from "../context";
import type { Check } from "../report/check";
import { DEFINER_BODY, DEFINER_PATH, probeOwnerOf } from "../session/probes";
import { isOwn, literals } from "../session/sql";
import { PROBE_PREFIX } from "../session/targets";
import { ownRoles } from "./declared";
import { dependenciesOf } from "./dependencies";
import { revoking } from "./mends";
import { declarableKind, grantText, isHere, type Grant } from "./grants";
import { namedTable } from "./row";

/**
 * What a persona's roles hold beyond the manifest and beyond what the matrix has said: grants on other objects, grants that
 * can be passed on, default privileges, objects that they own, functions that run as another role.
 */
export async function beyondMatrix(context: SessionContext, check: Check): Promise<void> {
  const { owner: catalogs, persona, access, acceptance, found } = context;
  const own = [access.login, ...ownRoles(persona)];
  const grants = access.grants
    .filter(({ grantee }) => own.includes(grantee))
    .filter((grant) => !isDeclared(grant, context) && !hasRow(grant, context));
  check.note("aclexplode of every ACL", grants.map(grantText).join("; ") || "as declared");
  for (const grant of grants)
    if (!found.causes.includes(grantText(grant)))
      check.findWith(`not declared: ${grantText(grant)}`, { mends: [revoking(grant)] });

  for (const { role, owns, object } of await dependenciesOf(catalogs, own, check))
    if (owns) check.find(`not declared: ${role} owns ${object}`);

  const definers = await catalogs.read<{ name: string; owner: string }>(definersSql(context), check);
  acceptance.find(
    check,
    definers.map(({ name, owner }) => ({
      id: `definer:${name}:${persona.groupRole} as ${owner}`,
      text: `SECURITY DEFINER function ${name} can be executed and runs as ${owner}`,
    })),
    "not declared: ",
  );
}

function isDeclared(grant: Grant, { persona, database }: LeasedContext): boolean {
  const { later, owner, privilege, grantee, grantable, column } = grant;
  if (grantee !== holderOf(persona, privilege) || grantable) return false;
  const kind = declarableKind(grant);
  const schema = database.schemas.find(({ name }) => name === grant.schema);
  const isInPlace = later
    ? schema !== undefined && makersOf({ schemas: [schema] }).includes(owner)
    : isHere(grant, database);
  if (!isInPlace) return false;
  const table = namedTable(persona, { schema, relation: grant.relation ?? undefined });
  if (column !== null) return table?.columns[privilege as ColumnPrivilege]?.includes(column) ?? false;
  if (kind === undefined) return false;
  const all = kind === "database" ? persona.privileges[kind] : privilegesIn(persona, schema!.name)[kind];
  return [...all, ...(table?.privileges ?? [])].some((name) => name === privilege);
}

/**
 * If it is too much, the matrix says so; but for one on a table all of whose columns are declared, and on what is an extension's, whose
 * functions are whoever's the extension lets use them.
 */
function hasRow(grant: Grant, { database, persona }: LeasedContext): boolean {
  const { later, grantable, privilege, relation, extension, kind } = grant;
  if (extension !== null && kind !== "function") return false;
  if (later || grantable || declarableKind(grant) === undefined || !isHere(grant, database)) return false;
  const schema = database.schemas.find(({ name }) => name === grant.schema);
  const table = namedTable(persona, { schema, relation: relation ?? undefined });
  return table?.columns[privilege as ColumnPrivilege] === undefined;
}

/**
 * SECURITY DEFINER functions that one of the persona's roles may execute and that run as none of them, but for extensions'
 * and for probes, which tell the role they run as and no more.
 */
function definersSql({ database, access }: LeasedContext): string {
  const roles = literals(access.roles);
  const places = database.schemas.map(
    (schema) => `(${literal(schema.name)}, ${literal(probeOwnerOf(database, schema))})`,
  );
  return `
    SELECT format('%I.%I(%s)', nspname, proname, oidvectortypes(proargtypes)) AS name,
      pg_get_userbyid(proowner) AS owner
    FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
    WHERE prosecdef AND pg_get_userbyid(proowner) NOT IN (${roles})
      AND CASE prorettype
        -- Only a superuser makes an event trigger.
        WHEN 'event_trigger'::regtype THEN false
        WHEN 'trigger'::regtype THEN ${canMakeTriggers(roles)}
        ELSE true
      END
      AND NOT ((nspname, pg_get_userbyid(proowner)) IN (${places.join(", ")}) AND ${IS_PROBE})
      AND ${isOwn("pg_proc", "p", "proowner")}
      AND EXISTS (
        SELECT FROM unnest(ARRAY[${roles}]::name[]) role
        WHERE has_function_privilege(role, p.oid, 'EXECUTE') AND has_schema_privilege(role, n.oid, 'USAGE')
      )
    ORDER BY 1`;
}

/** Whether one of the roles can have a function run as a trigger: on a table of its own, or on one that it has TRIGGER on. */
function canMakeTriggers(roles: string): string {
  return `EXISTS (
    SELECT FROM unnest(ARRAY[${roles}]::name[]) role
    WHERE has_database_privilege(role, current_database(), 'CREATE, TEMPORARY')
      OR EXISTS (SELECT FROM pg_namespace other WHERE has_schema_privilege(role, other.oid, 'CREATE'))
      OR EXISTS (
        SELECT FROM pg_class c WHERE relkind IN ('r', 'p', 'v', 'f') AND has_table_privilege(role, c.oid, 'TRIGGER')
      )
  )`;
}

/** As makeProbes makes it: a name alone proves nothing. */
const IS_PROBE = `(
  starts_with(proname, '${PROBE_PREFIX}') AND prosrc = ${literal(DEFINER_BODY)} AND pronargs = 0
  AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'sql')
  AND proconfig IS NOT DISTINCT FROM ARRAY[${literal(`search_path=${DEFINER_PATH}`)}]
)`;
