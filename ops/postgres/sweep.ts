import { escapeIdentifier, escapeLiteral } from "pg";
import { leaseMark, REVOKED } from "../../manifest/names";
import type { ManifestDatabase } from "../../manifest/schema";
import type { Deployment, SuperuserLogin } from "../deployment/deployment";
import { dropLogin } from "./leased-logins";
import { heirFor, markedLogins, type MarkedLogin } from "./marked-logins";
import { judge } from "./orphaned-logins";
import { asSuperuser, type StatementError } from "./superuser";

/** What a deploy did with logins that no revocation could drop. */
export interface Swept {
  readonly dropped: readonly string[];
  /** For people: each that is still there, and why. */
  readonly kept: readonly string[];
}

/** Of a statement that took longer than its bound. */
const QUERY_CANCELED = "57014";

/** Drops what revocations had to leave, with what stood in their way. */
export async function sweepRevoked(deployment: Deployment, database: ManifestDatabase): Promise<Swept> {
  const { environment } = deployment.manifest;
  const logins = await markedLogins(deployment.superuserOf(database), environment, database);
  // Whatever time has passed: only those that say it themselves.
  const orphaned = judge(logins, undefined, Infinity).filter(({ state }) => state === "orphaned");
  return drop(
    deployment,
    database,
    orphaned.map(({ login }) => login),
  );
}

/** Drops all that was leased for a database, once Vault has no lease on it any more. */
export async function sweepAll(deployment: Deployment, database: ManifestDatabase): Promise<Swept> {
  const { environment } = deployment.manifest;
  const logins = await markedLogins(deployment.superuserOf(database), environment, database);
  return drop(
    deployment,
    database,
    logins.filter(({ attributes }) => attributes.length === 0),
  );
}

async function drop(
  deployment: Deployment,
  database: ManifestDatabase,
  logins: readonly MarkedLogin[],
): Promise<Swept> {
  const dropped: string[] = [];
  const kept: string[] = [];
  let slow: string | undefined;
  for (const { name, ...login } of logins) {
    // What holds up one for so long holds up others, and each as long.
    if (slow !== undefined) {
      kept.push(`${name}: not tried, since handing over what ${slow} owns took too long`);
      continue;
    }
    const error = await dropMarked(deployment, database, { name, ...login });
    if (!error) dropped.push(name);
    else kept.push(`${name}: ${error.message}`);
    if (error?.code === QUERY_CANCELED) slow = name;
  }
  return { dropped, kept };
}

/**
 * Closes a login, hands over what it owns and drops it. One that can't be dropped says so in its comment, as a revocation's does.
 * @returns why it is still there
 */
export async function dropMarked(
  deployment: Deployment,
  database: ManifestDatabase,
  login: MarkedLogin,
): Promise<StatementError | undefined> {
  const superuser = deployment.superuserOf(database);
  const heir = heirFor(database, login);
  try {
    await dropLogin(superuser, { name: login.name, heir }, database);
    return undefined;
  } catch (error) {
    const { code } = error as StatementError;
    if (!(await exists(superuser, login.name))) return undefined;
    if (login.revoked === undefined && code !== undefined) {
      const mark = leaseMark(deployment.manifest.environment, database.name);
      const comment = `${mark}${REVOKED} (${code})${heir === undefined ? "" : `; heir ${heir}`}`;
      await asSuperuser(superuser, (client) =>
        client.query(`COMMENT ON ROLE ${escapeIdentifier(login.name)} IS ${escapeLiteral(comment)}`),
      ).catch(() => undefined);
    }
    return error as StatementError;
  }
}

async function exists(superuser: SuperuserLogin, role: string): Promise<boolean> {
  const found = await asSuperuser(superuser, (client) =>
    client.query("SELECT FROM pg_roles WHERE rolname = $1", [role]),
  );
  return found!.rowCount === 1;
}
