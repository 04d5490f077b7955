import { escapeLiteral as literal } from "pg";
import type { Access } from "./catalogs";
import { causesOfHeld, causesOfMissing } from "./causes";
import { CONNECT, type Place } from "./rows";
import type { Lease } from "../session/leases";
import { Outage } from "../../clients/outage";
import { catalogsSay, compare } from "../report/compare";
import { Notes } from "../report/evidence";
import type { Recorder } from "../report/recorder";
import { INSUFFICIENT_PRIVILEGE, Session, type PostgresAddress } from "../session/session";

/** Opens the persona's session: the cell of CONNECT. */
export async function connect(
  asker: Session,
  address: PostgresAddress,
  lease: Lease,
  place: Place,
  access: Access,
  recorder: Recorder,
): Promise<Session | undefined> {
  const { persona, database } = place;
  const declared = CONNECT.declared(persona);
  const start = performance.now();
  let session: Session | undefined;
  let refusal = "";
  try {
    session = await Session.open(address, database.name, lease);
  } catch (error) {
    if (error instanceof Outage) throw error;
    refusal = (error as { code?: string }).code ?? String(error);
  }
  const milliseconds = performance.now() - start;
  const exercised = session ? true : refusal === INSUFFICIENT_PRIVILEGE ? false : undefined;
  const notes = new Notes();
  notes.note(`login as ${lease.username}`, session ? "a session" : `SQLSTATE ${refusal}`);
  // A login has to hold it itself: to change to another role takes a session.
  const asked = await asker.attempt(
    `SELECT has_database_privilege(${literal(lease.username)}, ${literal(database.name)}, 'CONNECT') AS held`,
    notes,
  );
  const catalogued = "rows" in asked ? asked.rows[0]?.["held"] === true : undefined;
  const [target] = CONNECT.on(place);
  const about = { column: CONNECT, target: target!, place, access, asker };
  const isAsDeclared = exercised === declared && catalogued === declared;
  const causes = isAsDeclared ? [] : await (declared ? causesOfMissing(about) : causesOfHeld(about));
  const comparison = compare(declared, [
    {
      what: `CONNECT on ${database.name}`,
      catalogued,
      exercised: [exercised],
      said: catalogsSay(catalogued),
      causes,
      example: session ? undefined : `SQLSTATE ${refusal}`,
    },
  ]);
  const { evidence } = notes;
  recorder.cell(
    { kind: "database", name: "CONNECT" },
    { ...comparison, remarks: [], evidence, milliseconds },
  );
  return session;
}
