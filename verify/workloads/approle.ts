import { escapeLiteral as literal } from "pg";
import { secretIdOf } from "../session/leases";
import type { ManifestPersona, ManifestWorkload } from "../../manifest/schema";
import { describe, loginRefusal, Session, type Login } from "../session/session";
import { VaultError, type VaultClient } from "../../clients/vault-client";
import { personaOf, type WorkloadScene } from "./context";

const WRONG_PASSWORD = "28P01";

/** The AppRole tutorial: a secret id serves as often and as long as was declared, and a static role's password changes. */
export async function appRoleWorkload(
  scene: WorkloadScene,
  workload: ManifestWorkload<"approle">,
): Promise<void> {
  const persona = personaOf(scene, workload.reader);
  await secretIdUses(scene, persona);
  for (const { name, login } of scene.database.staticRoles.filter((role) => role.persona === persona.name))
    await staticRole(scene, persona, name, login);
}

async function secretIdUses({ leases, recorder }: WorkloadScene, persona: ManifestPersona): Promise<void> {
  const { authMount, name, secretIdTtl: ttl, secretIdUses: uses } = persona.appRole;
  if (ttl === undefined || uses === undefined) return;
  let secretId = "";
  await recorder.check(
    `approle example: a secret id of ${persona.name} lives ${String(ttl)} s`,
    async (check) => {
      // As a deliverer mints it: without a number of uses of its own.
      const path = `auth/${authMount}/role/${name}/secret-id`;
      const { wrap_info: wrapping } = await leases.vault.call("POST", path, {}, "60s");
      const opened = await leases.unwrap(wrapping!.token);
      check.noteAnswer(opened);
      if (opened.status >= 400) throw new VaultError(opened);
      secretId = secretIdOf(opened);
      const { secret_id_ttl: foundTtl, secret_id_num_uses: foundUses } = opened.body.data ?? {};
      check.note("its TTL and uses", `${String(foundTtl)} s, ${String(foundUses)}`);
      if (foundTtl !== ttl) return `secret id TTL declared: ${String(ttl)} s; it has ${String(foundTtl)} s`;
      return foundUses === uses ? undefined : `uses declared: ${String(uses)}; it has ${String(foundUses)}`;
    },
  );
  if (!secretId) return;
  await recorder.check(
    `approle example: it logs in ${String(uses)} times, and not once more`,
    async (check) => {
      const roleId = await leases.roleId(persona);
      for (let use = 1; use <= uses; use += 1) {
        const answer = await leases.login(persona, roleId, secretId);
        check.noteAnswer(answer, `use ${String(use)}`);
        if (answer.status !== 200)
          return `use ${String(use)} must log in, received HTTP ${String(answer.status)}`;
        await leases.keepToken(persona, answer, roleId, secretId).revoke();
      }
      const answer = await leases.login(persona, roleId, secretId);
      check.noteAnswer(answer, `use ${String(uses + 1)}`);
      if (answer.body.auth) await leases.keepToken(persona, answer, roleId, secretId).revoke();
      return answer.status === 400
        ? undefined
        : `use ${String(uses + 1)} must be refused with HTTP 400, received ${String(answer.status)}`;
    },
  );
}

async function staticRole(
  { database, address, leases, recorder }: WorkloadScene,
  persona: ManifestPersona,
  role: string,
  login: string,
): Promise<void> {
  const { mount } = database.vault;
  const read = async (vault: VaultClient): Promise<Login> => {
    const { data } = await vault.call("GET", `${mount}/static-creds/${role}`);
    return { username: String(data?.["username"]), password: String(data?.["password"]) };
  };
  let before: Login | undefined;
  await recorder.check(
    `approle example: ${persona.name} reads the static role ${role} and uses it`,
    async (check) => {
      const token = await leases.logIn(persona);
      try {
        const found = await read(token.vault);
        check.note(`GET ${mount}/static-creds/${role}`, `a password of ${found.username}`);
        if (found.username !== login) return `login declared: ${login}; Vault has ${found.username}`;
        const session = await Session.open(address, database.name, found);
        const sql = `SELECT pg_catalog.pg_has_role(session_user, ${literal(persona.groupRole)}, 'member') AS member`;
        const outcome = await session.attempt(sql, check);
        await session.close();
        if (!("rows" in outcome) || outcome.rows[0]?.["member"] !== true)
          return `${login} must be a member of ${persona.groupRole}, received ${describe(outcome)}`;
        before = found;
        return undefined;
      } finally {
        await token.revoke();
      }
    },
  );
  if (!before) return;
  const old = before;
  await recorder.check(
    `approle example: rotated, ${role}'s old password is refused and the new one logs in`,
    async (check) => {
      const rotated = await leases.vault.request("POST", `${mount}/rotate-role/${role}`);
      check.noteAnswer(rotated);
      if (rotated.status >= 400) throw new VaultError(rotated);
      const refusal = await loginRefusal(address, database.name, old);
      check.note(`login as ${login} with the old password`, refusal ?? "logged in");
      if (refusal !== WRONG_PASSWORD)
        return `the old password must be refused with ${WRONG_PASSWORD}, received ${refusal ?? "a session"}`;
      const token = await leases.logIn(persona);
      const found = await read(token.vault);
      await token.revoke();
      const now = await loginRefusal(address, database.name, found);
      check.note(`login as ${login} with the new password`, now ?? "logged in");
      return now === undefined ? undefined : `the new password must log in, it is refused with ${now}`;
    },
  );
}
