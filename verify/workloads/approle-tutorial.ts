import { escapeLiteral as literal } from "pg";
import { WRONG_PASSWORD } from "../../clients/sqlstates";
import { VaultError, type VaultClient } from "../../clients/vault-client";
import { AppRole, secretIdOf } from "../login/approle";
import type { Check } from "../report/check";
import { describe, loginRefusal, Session, type Login } from "../session/session";
import { asPersona, personaOf, type WorkloadContext } from "./context";

interface StaticLogin extends Login {
  readonly role: string;
}

/** The AppRole tutorial: a secret id serves as often and as long as was declared, and a static role's password changes. */
export interface AppRoleContext extends WorkloadContext<"approle"> {
  secretId?: string;
  /** The persona's static roles that gave the login which is declared. */
  staticLogins?: readonly StaticLogin[];
}

export function staticRolesOf({ database, workload }: AppRoleContext) {
  return database.staticRoles.filter(({ persona }) => persona === workload.reader);
}

function appRoleOf(context: AppRoleContext): AppRole {
  return new AppRole(context, personaOf(context, context.workload.reader));
}

export async function mintSecretId(context: AppRoleContext, check: Check): Promise<void> {
  const appRole = appRoleOf(context);
  const { secretIdTtl: ttl, secretIdUses: uses } = appRole.declared;
  // As a deliverer mints it: without limits of its own.
  const opened = await appRole.unwrap(await appRole.wrappedSecretId({}));
  check.noteAnswer(opened);
  if (opened.status >= 400) throw new VaultError(opened);
  context.secretId = secretIdOf(opened);
  const { secret_id_ttl: foundTtl, secret_id_num_uses: foundUses } = opened.body.data ?? {};
  check.note("its TTL and uses", `${String(foundTtl)} s, ${String(foundUses)}`);
  if (ttl !== undefined) check.expect("secret id TTL", ttl, Number(foundTtl), "s");
  if (uses !== undefined) check.expect("uses", uses, Number(foundUses));
}

export async function useUpSecretId(context: AppRoleContext, check: Check): Promise<void> {
  const appRole = appRoleOf(context);
  const uses = appRole.declared.secretIdUses!;
  for (let use = 1; use <= uses; use += 1) {
    const answer = await appRole.attemptAndRevoke(context.secretId);
    check.noteAnswer(answer, `use ${String(use)}`);
    if (answer.status !== 200) {
      check.find(`use ${String(use)} must log in, received HTTP ${String(answer.status)}`);
      return;
    }
  }
  const answer = await appRole.attemptAndRevoke(context.secretId);
  check.noteAnswer(answer, `use ${String(uses + 1)}`);
  check.expectRefused(`use ${String(uses + 1)}`, 400, answer);
}

export async function useStaticRoles(context: AppRoleContext, check: Check): Promise<void> {
  const { database, address } = context;
  const persona = personaOf(context, context.workload.reader);
  const logins: StaticLogin[] = [];
  context.staticLogins = logins;
  await asPersona(context, persona, async (token) => {
    for (const { name: role, login } of staticRolesOf(context)) {
      const found = await readStatic(context, token.vault, role);
      check.note(`GET ${database.vault.mount}/static-creds/${role}`, `a password of ${found.username}`);
      if (!check.expect(`login of ${role}`, login, found.username)) continue;
      const session = await Session.open(address, database.name, found);
      const outcome = await session.attempt(
        `SELECT pg_catalog.pg_has_role(session_user, ${literal(persona.groupRole)}, 'member') AS member`,
        check,
      );
      await session.close();
      if ("rows" in outcome && outcome.rows[0]?.["member"] === true) logins.push(found);
      else check.find(`${login} must be a member of ${persona.groupRole}, received ${describe(outcome)}`);
    }
  });
}

export async function rotateStaticRoles(context: AppRoleContext, check: Check): Promise<void> {
  const { vault, database, address, staticLogins = [] } = context;
  const persona = personaOf(context, context.workload.reader);
  for (const before of staticLogins) {
    const { role, username } = before;
    const rotated = await vault.request("POST", `${database.vault.mount}/rotate-role/${role}`);
    check.noteAnswer(rotated);
    if (rotated.status >= 400) throw new VaultError(rotated);
    const refusal = await loginRefusal(address, database.name, before);
    check.note(`login as ${username} with the old password`, refusal ?? "a session");
    if (refusal !== WRONG_PASSWORD)
      check.find(
        `${role}'s old password must be refused with ${WRONG_PASSWORD}, received ${refusal ?? "a session"}`,
      );
    const now = await asPersona(context, persona, async (token) =>
      loginRefusal(address, database.name, await readStatic(context, token.vault, role)),
    );
    check.note(`login as ${username} with the new password`, now ?? "a session");
    if (now) check.find(`${role}'s new password must log in, it is refused with ${now}`);
  }
}

async function readStatic(
  { database }: AppRoleContext,
  vault: VaultClient,
  role: string,
): Promise<StaticLogin> {
  const { data } = await vault.call("GET", `${database.vault.mount}/static-creds/${role}`);
  return { role, username: String(data?.["username"]), password: String(data?.["password"]) };
}
