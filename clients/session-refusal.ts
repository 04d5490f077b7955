import { NO_SUCH_DATABASE, RAISED, READ_ONLY_TRANSACTION, TOO_MANY_CONNECTIONS } from "./sqlstates";

/**
 * What helps where PostgreSQL refuses a session for a reason beside the login's password.
 * @param text holds the SQLSTATE, as Vault's driver tells it, or is the message to a code
 * @param encrypt what makes the client encrypt
 */
export function sessionRemedy(text: string, code: string | undefined, encrypt: string): string | undefined {
  const is = (sqlstate: string) => code === sqlstate || text.includes(`SQLSTATE ${sqlstate}`);
  if (is(TOO_MANY_CONNECTIONS))
    return "it has no free connection: end sessions that idle, or raise max_connections";
  if (is(NO_SUCH_DATABASE)) return "the database is not there: create it, or correct the config and deploy";
  if (is(READ_ONLY_TRANSACTION))
    return "its transactions are read-only: have Vault's connection reach the primary, and turn default_transaction_read_only off for the server, the database and Vault's login";
  if (code === RAISED || new RegExp(`\\bFATAL: .*SQLSTATE ${RAISED}`).test(text))
    return "a login event trigger of the database refuses it: have it let leased logins and Vault's in";
  if (is("57P03")) return "it is starting or stopping: try again in a moment";
  if (is("28000") && text.includes("pg_hba.conf"))
    return /no encryption|SSL off/.test(text)
      ? `it takes nobody from here without encryption: ${encrypt}`
      : "its pg_hba.conf lets nobody in from here with that login: add a line";
  return undefined;
}

/** PostgreSQL's server_version_num of the oldest version that is known to work. */
const OLDEST = 150_000;

/** What to say of a version that is too old; undefined for the others. */
export function tooOld(where: string, version: number): string | undefined {
  if (version >= OLDEST) return undefined;
  return `${where} has version ${String(Math.floor(version / 10_000))}, and Leasehold needs ${String(OLDEST / 10_000)} or later: upgrade it`;
}
