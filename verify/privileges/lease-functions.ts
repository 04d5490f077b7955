import { escapeLiteral as literal } from "pg";
import { LEASE_SCHEMA } from "../../manifest/names";
import type { ManifestDatabase } from "../../manifest/schema";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import { grantsTo, grantsToOthers, grantText, PUBLIC, type Grant } from "./grants";

/** How each of them is made, as CREATE FUNCTION spells it. */
const OPTIONS = "RETURNS void LANGUAGE plpgsql SECURITY DEFINER VOLATILE";

/** EXECUTE on one of the functions through which Vault's login leases, or USAGE on their schema. */
export function isOfLeaseFunctions(
  { kind, schema, object, privilege, grantable }: Grant,
  database: ManifestDatabase,
): boolean {
  if (database.leases !== "functions" || schema !== LEASE_SCHEMA || grantable) return false;
  if (kind === "schema") return privilege === "USAGE";
  return kind === "function" && privilege === "EXECUTE" && signatures(database).includes(object);
}

function signatures({ leaseFunctions }: ManifestDatabase): string[] {
  return leaseFunctions.map(({ name, arguments: types }) => `${LEASE_SCHEMA}.${name}(${types})`);
}

/** The functions through which Vault's login leases: a superuser's, as declared, for that login alone, and no others beside them. */
export async function leaseFunctions(context: DatabaseContext, check: Check): Promise<void> {
  const [schema] = await context.owner.read<{ owner: string; isSuperusers: boolean }>(
    `SELECT rolname AS owner, rolsuper AS "isSuperusers"
     FROM pg_namespace JOIN pg_roles r ON r.oid = nspowner WHERE nspname = ${literal(LEASE_SCHEMA)}`,
    check,
  );
  if (schema && !schema.isSuperusers)
    check.find(`the schema ${LEASE_SCHEMA} must belong to a superuser, it belongs to ${schema.owner}`);
  await functionsAsDeclared(context, check);
  await grantedToManager(context, check);
}

async function functionsAsDeclared(
  { owner: catalogs, database }: DatabaseContext,
  check: Check,
): Promise<void> {
  const found = await catalogs.read<{
    signature: string;
    owner: string;
    isSuperusers: boolean;
    options: string;
    sha256: string;
  }>(
    `SELECT format('%I.%I(%s)', nspname, proname, oidvectortypes(proargtypes)) AS signature,
       rolname AS owner, rolsuper AS "isSuperusers", encode(sha256(convert_to(prosrc, 'UTF8')), 'hex') AS sha256,
       concat_ws(' ',
         'RETURNS ' || pg_get_function_result(p.oid), 'LANGUAGE ' || lanname,
         CASE WHEN prosecdef THEN 'SECURITY DEFINER' END,
         CASE provolatile WHEN 'v' THEN 'VOLATILE' WHEN 's' THEN 'STABLE' ELSE 'IMMUTABLE' END,
         CASE WHEN proisstrict THEN 'STRICT' END, 'SET ' || array_to_string(proconfig, ', ')
       ) AS options
     FROM pg_proc p
       JOIN pg_namespace n ON n.oid = pronamespace
       JOIN pg_roles r ON r.oid = proowner
       JOIN pg_language l ON l.oid = prolang
     WHERE nspname = ${literal(LEASE_SCHEMA)} ORDER BY 1`,
    check,
  );
  const declared = signatures(database);
  for (const [i, signature] of declared.entries()) {
    const is = found.find((each) => each.signature === signature);
    if (!is) {
      check.find(
        `${signature} does not exist, without which Vault can't lease: npx leasehold deploy makes it`,
      );
      continue;
    }
    if (is.sha256 !== database.leaseFunctions[i]!.sha256)
      check.find(`${signature} has another body than the declared one: npx leasehold deploy replaces it`);
    if (is.options !== OPTIONS) check.find(`${signature} must be ${OPTIONS}, it is ${is.options}`);
    if (!is.isSuperusers) check.find(`${signature} must belong to a superuser, it belongs to ${is.owner}`);
  }
  for (const { signature, owner } of found)
    if (!declared.includes(signature))
      check.find(`${signature}, which belongs to ${owner}, is not declared: DROP FUNCTION ${signature}`);
}

/** EXECUTE on each of them and USAGE on the schema; nobody else is granted anything there. */
async function grantedToManager({ owner: catalogs, database }: DatabaseContext, check: Check): Promise<void> {
  const { manager = "" } = database;
  const granted = [
    ...(await grantsTo(catalogs, [manager, PUBLIC])),
    ...(await grantsToOthers(catalogs, [manager])),
  ].filter(({ schema }) => schema === LEASE_SCHEMA);
  const isDeclared = (grant: Grant) => grant.grantee === manager && isOfLeaseFunctions(grant, database);
  for (const grant of granted) if (!isDeclared(grant)) check.find(`not declared: ${grantText(grant)}`);
  const wanted = [
    `USAGE on schema ${LEASE_SCHEMA}`,
    ...signatures(database).map((signature) => `EXECUTE on function ${signature}`),
  ];
  const has = granted
    .filter(isDeclared)
    .map(({ privilege, kind, object }) => `${privilege} on ${kind} ${object}`);
  for (const privilege of wanted)
    if (!has.includes(privilege))
      check.find(`${manager} is not granted ${privilege}: npx leasehold deploy grants it`);
}
