import { Outage } from "../../clients/outage";
import { INSUFFICIENT_PRIVILEGE } from "../../clients/sqlstates";
import type { LeasedContext } from "../context";
import { compare } from "../report/compare";
import { Notes } from "../report/evidence";
import { rowId } from "../report/recorder";
import { Session, type Login } from "../session/session";
import { askCatalogs, observe, type Answer } from "./matrix";
import { CONNECT } from "./rows";

/** Opens the persona's session: the cell of CONNECT. */
export async function connect(context: LeasedContext): Promise<Session | undefined> {
  const { persona, database, address, lease, recorder } = context;
  const start = performance.now();
  let session: Session | undefined;
  let refusal: string | undefined;
  try {
    session = await Session.open(address, database.name, lease);
  } catch (error) {
    if (error instanceof Outage) throw error;
    refusal = (error as { code?: string }).code ?? String(error);
  }
  const milliseconds = performance.now() - start;
  if (!recorder.wants(rowId(CONNECT))) return session;
  const notes = new Notes();
  const answer = loginAnswer(lease, refusal, notes);
  const declared = CONNECT.declared(persona);
  const [target] = CONNECT.targets(context);
  // A login has to hold it itself: to change to another role takes a session.
  const held = await askCatalogs(context, CONNECT, [target!], notes, [lease.username]);
  const observation = await observe(
    context,
    CONNECT,
    target!,
    declared,
    held.get(target!.name),
    [answer],
    notes,
  );
  const { evidence } = notes;
  recorder.cell(CONNECT, { ...compare(declared, [observation]), remarks: [], evidence, milliseconds });
  return session;
}

/** @param refusal an SQLSTATE, or undefined where it was let in */
export function loginAnswer({ username }: Login, refusal: string | undefined, notes: Notes): Answer {
  const sent = `login as ${username}`;
  const got = refusal === undefined ? "a session" : `SQLSTATE ${refusal}`;
  notes.note(sent, got);
  if (refusal === undefined) return { sent, allowed: true, got };
  return { sent, allowed: refusal === INSUFFICIENT_PRIVILEGE ? false : undefined, got };
}
