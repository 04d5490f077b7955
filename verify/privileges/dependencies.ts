import type { Check } from "../report/check";
import type { Session } from "../session/session";
import { literals } from "../session/sql";

/** An object that a role owns, or on which it is granted something, in whatever database of the server. */
interface Dependency {
  readonly role: string;
  readonly owns: boolean;
  /** In the session's database, or shared. */
  readonly inThisDatabase: boolean;
  readonly object: string;
}

export function dependenciesOf(
  catalogs: Session,
  roles: readonly string[],
  check: Check,
): Promise<Dependency[]> {
  return catalogs.read<Dependency>(
    `SELECT DISTINCT pg_get_userbyid(refobjid) AS role, deptype = 'o' AS owns, datname IS NULL AS "inThisDatabase",
       coalesce(
         'an object in database ' || datname, pg_describe_object(classid, objid, objsubid), 'an object'
       ) AS object
     FROM pg_shdepend LEFT JOIN pg_database d ON d.oid = dbid AND datname <> current_database()
     WHERE refclassid = 'pg_authid'::regclass AND classid <> 'pg_auth_members'::regclass
       AND deptype IN ('o', 'a')
       AND refobjid IN (SELECT oid FROM pg_roles WHERE rolname IN (${literals(roles)}))
     ORDER BY object`,
    check,
  );
}
