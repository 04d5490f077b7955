import type { Lease } from "../session/leases";
import type { ManifestWorkload } from "../../manifest/schema";
import { loginRefusal } from "../session/session";
import { existing, personaOf, secondsValid, type WorkloadScene } from "./context";

/** Vault counts in whole seconds, keeps a few seconds of grace in VALID UNTIL, and an answer takes its time. */
const SECONDS_OF_TOLERANCE = 10;

/**
 * HashiCorp's tutorial on leases. A persona's lease is renewed with the persona's token and revoked by its id; what goes
 * by prefix, listing and revoking, is tried where the verifier may: on the probe role with short leases.
 */
export async function leasesWorkload(
  { database, address, leases, owner, recorder, ...rest }: WorkloadScene,
  workload: ManifestWorkload<"leases">,
): Promise<void> {
  const persona = personaOf({ database, address, leases, owner, recorder, ...rest }, workload.reader);
  const { mount } = database.vault;
  const { name: role, defaultTtl, maxTtl } = persona.databaseRole;
  const vault = leases.vault;

  await recorder.check(`leases example: ${persona.name} renews, is cut at the max TTL`, async (check) => {
    const token = await leases.logIn(persona);
    const lease = await leases.take(token.vault, mount, role);
    const findings: string[] = [];
    for (const [asked, wanted] of [
      [defaultTtl * 2, Math.min(defaultTtl * 2, maxTtl)],
      [maxTtl * 2, maxTtl],
    ] as const) {
      const renewed = await token.vault.request("POST", "sys/leases/renew", {
        lease_id: lease.id,
        increment: asked,
      });
      check.noteAnswer(renewed, `increment ${String(asked)} s`);
      const given = renewed.body.lease_duration ?? 0;
      const valid = (await secondsValid(owner, lease.username, check)) ?? 0;
      const isCut = wanted < asked;
      if (given > wanted || given < wanted - SECONDS_OF_TOLERANCE)
        findings.push(
          `renewing for ${String(asked)} s must give ${String(wanted)} s, received ${String(given)} s`,
        );
      if (Math.abs(valid - given) > SECONDS_OF_TOLERANCE)
        findings.push(
          `VALID UNTIL must follow to ${String(given)} s from now, it is ${valid.toFixed(0)} s away`,
        );
      const warnings = (renewed.body.warnings ?? []).join("; ");
      if (isCut) check.note("the answer's warnings", warnings || "none");
      if (isCut && !warnings)
        findings.push(`Vault must warn that ${String(asked)} s are more than the max TTL`);
    }
    await lease.revoke();
    await token.revoke();
    return findings.length ? findings.join("; ") : undefined;
  });

  await recorder.check(`leases example: ${persona.name}'s is revoked by its id`, async (check) => {
    const token = await leases.logIn(persona);
    const [revoked, other] = [
      await leases.take(token.vault, mount, role),
      await leases.take(token.vault, mount, role),
    ];
    const status = await revoked.revoke();
    check.note(`POST sys/leases/revoke ${revoked.id}`, `HTTP ${String(status)}`);
    const refusals = await Promise.all(
      [revoked, other].map((lease) => loginRefusal(address, database.name, lease)),
    );
    [revoked, other].forEach(({ username }, i) => {
      check.note(`login as ${username}`, refusals[i] ?? "logged in");
    });
    await other.revoke();
    await token.revoke();
    if (refusals[0] !== "28P01" && refusals[0] !== "28000")
      return `the login must be refused with 28P01 or 28000, received ${refusals[0] ?? "a session"}`;
    return refusals[1] === undefined
      ? undefined
      : `another lease of the role must go on, its login is refused with ${refusals[1]}`;
  });

  const prefix = `${mount}/creds/${database.probes!.short}`;
  const list = async () => {
    const answer = await vault.request("LIST", `sys/leases/lookup/${prefix}/`);
    return { answer, ids: ((answer.body.data?.["keys"] ?? []) as string[]).map((id) => `${prefix}/${id}`) };
  };
  let taken: Lease[] = [];
  await recorder.check("leases example: listed by prefix", async (check) => {
    taken = [
      await leases.take(vault, mount, database.probes!.short),
      await leases.take(vault, mount, database.probes!.short),
    ];
    const { answer, ids } = await list();
    check.noteAnswer(answer);
    const missing = taken.filter(({ id }) => !ids.includes(id));
    return missing.length === 0 ? undefined : `Vault must list ${missing.map(({ id }) => id).join(", ")}`;
  });
  await recorder.check("leases example: revoked by prefix", async (check) => {
    const revoked = await vault.request("PUT", `sys/leases/revoke-prefix/${prefix}`, { sync: true });
    check.noteAnswer(revoked);
    if (revoked.status >= 400)
      return `revoking by prefix must be allowed, received HTTP ${String(revoked.status)}`;
    const { answer, ids } = await list();
    check.noteAnswer(answer);
    const left = await existing(
      owner,
      taken.map(({ username }) => username),
      check,
    );
    if (left.length > 0) return `the logins must be gone, still there: ${left.join(", ")}`;
    const known = taken.filter(({ id }) => ids.includes(id));
    return known.length === 0 ? undefined : `Vault still lists ${known.map(({ id }) => id).join(", ")}`;
  });
  await recorder.check("leases example: others' prefix refused", async (check) => {
    for (const [method, path] of [
      ["LIST", `sys/leases/lookup/${mount}/creds/${role}/`],
      ["PUT", `sys/leases/revoke-prefix/${mount}/creds/${role}`],
    ] as const) {
      const answer = await vault.request(method, path);
      check.noteAnswer(answer);
      if (answer.status !== 403)
        return `${method} ${path} must be refused with HTTP 403, received ${String(answer.status)}`;
    }
    return undefined;
  });
}
