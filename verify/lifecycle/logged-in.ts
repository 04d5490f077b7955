import { Outage } from "../../clients/outage";
import { oneLine } from "../../clients/text";
import type { ManifestPersona } from "../../manifest/schema";
import type { DatabaseContext } from "../context";
import { Check } from "../report/check";
import type { PersonaToken } from "../session/leases";

export interface LoggedInPersona extends ManifestPersona {
  readonly token: PersonaToken;
}

/** What the checks on the life of a lease share, each of which goes over all personas. */
export interface LifecycleContext extends DatabaseContext {
  /** The personas that a check of their login method has logged in. */
  readonly loggedIn: LoggedInPersona[];
}

/** Runs for one after the other. Each finding, an exception too, starts with the persona's name. */
export async function forEach<Persona extends ManifestPersona>(
  personas: readonly Persona[],
  check: Check,
  run: (persona: Persona, check: Check) => Promise<void>,
): Promise<void> {
  for (const persona of personas) {
    const own = new Check();
    try {
      await run(persona, own);
    } catch (error) {
      if (error instanceof Outage) throw error;
      own.find(oneLine(error));
    } finally {
      check.noteAll(own);
      check.find(...own.findings.map((finding) => `${persona.name}: ${finding}`));
    }
  }
}
