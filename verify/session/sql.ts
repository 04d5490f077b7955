import { escapeLiteral as literal } from "pg";
import { routineName } from "../../manifest/object-kinds";

// Parts of SQL that several questions to the catalogs share.

/** The lowest oid of an object that is not PostgreSQL's own (FirstNormalObjectId). */
export const FIRST_OBJECT = "16384";

/** SQL: the name of a procedure with its OUT arguments. With the others alone it could fit another procedure as well. */
export function procedureOf(oid: string): string {
  return `SELECT ${routineName("routine")}
    FROM pg_proc routine WHERE routine.oid = ${oid} AND prokind = 'p'`;
}

/** For `IN (…)`, which holds for nothing where there are no names. */
export function literals(names: readonly string[]): string {
  return names.map((name) => literal(name)).join(", ") || "NULL";
}

/** Gives a row where a function is a range type's constructor: PostgreSQL's first superuser owns it, and all may use it. */
export function constructorOf(oid: string): string {
  return `
    SELECT FROM pg_depend member
    WHERE member.classid = 'pg_proc'::regclass AND member.objid = ${oid}
      AND member.refclassid = 'pg_type'::regclass AND member.deptype = 'i'`;
}

/**
 * Gives the extension that an object belongs to, where a superuser owns the object. Who installed a trusted extension can add
 * objects of their own to it: those are no extension's.
 * @param catalog SQL that gives a regclass
 */
export function extensionOf(catalog: string, oid: string, owner: string): string {
  return `
    SELECT extname FROM pg_depend member JOIN pg_extension x ON x.oid = member.refobjid
    WHERE member.classid = ${catalog} AND member.objid = ${oid}
      AND member.refclassid = 'pg_extension'::regclass AND member.deptype = 'e'
      AND EXISTS (SELECT FROM pg_roles holder WHERE holder.oid = ${owner} AND rolsuper)`;
}

/** Holds for an object that is no extension's. */
export function isOwn(catalog: string, alias: string, owner: string): string {
  return `NOT EXISTS (${extensionOf(`'${catalog}'::regclass`, `${alias}.oid`, `${alias}.${owner}`)})`;
}
