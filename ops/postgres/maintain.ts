import { SetupError } from "../../clients/setup-error";
import { maintainQueries, withoutMaintain } from "../../manifest/maintain";
import { maintains } from "../../manifest/privileges";
import type { Deployment } from "../deployment/deployment";
import { asOwnStatements } from "./leased-logins";
import { asSuperuser } from "./superuser";

/**
 * Brings MAINTAIN to what is declared, once Terraform has made the roles that get it.
 * @returns what was done, for people, a line each
 */
export async function grantMaintain(deployment: Deployment): Promise<string[]> {
  const did: string[] = [];
  for (const database of deployment.manifest.databases)
    for (const { role, text, values } of maintainQueries(database)) {
      const count = await asSuperuser(
        deployment.superuserOf(database),
        (client) => asOwnStatements(client, text, [...values]),
        database.name,
      );
      if (count)
        did.push(
          `brought what ${role} has in the database ${database.name} to MAINTAIN as declared: ${String(count)} change${count === 1 ? "" : "s"}`,
        );
    }
  return did;
}

/** @throws SetupError with a line for each database whose server is older than MAINTAIN, which a persona declares there */
export async function checkMaintain(deployment: Deployment): Promise<void> {
  const lines: string[] = [];
  for (const database of deployment.manifest.databases.filter(({ personas }) => personas.some(maintains))) {
    const found = await asSuperuser(deployment.superuserOf(database), (client) =>
      client.query<{ major: number }>("SELECT current_setting('server_version_num')::int / 10000 AS major"),
    );
    lines.push(...[withoutMaintain(database, found!.rows[0]!.major) ?? []].flat());
  }
  if (lines.length > 0) throw new SetupError(lines.join("\n"));
}
