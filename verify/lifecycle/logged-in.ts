import { whatIsLeft } from "./gone";
import type { Lease, PersonaToken } from "../session/leases";
import type { ManifestPersona } from "../../manifest/schema";
import { Outage } from "../../clients/outage";
import type { DatabaseContext } from "../context";
import { oneLine } from "../../clients/text";
import type { Check } from "../report/check";
import { SESSION_ENDED, type Session } from "../session/session";

/** A persona that is logged in, for the checks that take its leases. */
export interface Life {
  readonly persona: ManifestPersona;
  readonly token: PersonaToken;
}

/** Looks at one after the other. Returns the findings, an exception for one, each with its persona's name. */
export async function each<Of extends { readonly persona: ManifestPersona }>(
  all: readonly Of[],
  look: (one: Of) => Promise<string | undefined>,
): Promise<string | undefined> {
  const findings: string[] = [];
  for (const one of all) {
    const finding = await look(one).catch((error: unknown) => {
      if (error instanceof Outage) throw error;
      return oneLine(error);
    });
    if (finding !== undefined) findings.push(`${one.persona.name}: ${finding}`);
  }
  return findings.join("; ") || undefined;
}

export function takeLease({ leases, database }: DatabaseContext, { persona, token }: Life): Promise<Lease> {
  return leases.take(token.vault, database.vault.mount, persona.databaseRole.name);
}

/** As {@link whatIsLeft}, with the owner as the witness. */
export function leftOf(scene: DatabaseContext, lease: Lease, check: Check): Promise<string | undefined> {
  const { address, database, owner: asker, leases } = scene;
  return whatIsLeft({ address, database: database.name, asker, vault: leases.vault }, lease, check);
}

export async function revoke(lease: Lease, check: Check): Promise<void> {
  const status = await lease.revoke();
  check.note(`POST sys/leases/revoke ${lease.id}`, `HTTP ${String(status)}`);
}

/** Waits for the server to end a session. Returns what is wrong with its end. */
export async function endOf(session: Session, check: Check): Promise<string | undefined> {
  const end = await session.waitForEnd();
  check.note("the open session", end);
  await session.close();
  return end === SESSION_ENDED ? undefined : `the session must end with ${SESSION_ENDED}, it is ${end}`;
}

export function together(...findings: readonly (string | undefined)[]): string | undefined {
  return findings.filter((finding) => finding !== undefined).join("; ") || undefined;
}
