import { escapeLiteral as literal } from "pg";
import type { Access } from "./catalogs";
import { causesOfHeld, causesOfMissing } from "./causes";
import { CONNECT, type Place } from "./rows";
import type { Lease } from "../session/leases";
import { Outage } from "../../clients/outage";
import type { Evidence, Recorder } from "../report/report";
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
  const proven = session ? true : refusal === INSUFFICIENT_PRIVILEGE ? false : undefined;
  const evidence: Evidence[] = [
    { sent: `login as ${lease.username}`, got: session ? "a session" : `SQLSTATE ${refusal}` },
  ];
  // A login has to hold it itself: to change to another role takes a session.
  const asked = await asker.attempt(
    `SELECT has_database_privilege(${literal(lease.username)}, ${literal(database.name)}, 'CONNECT') AS held`,
    evidence,
  );
  const catalogued = "rows" in asked ? asked.rows[0]?.["held"] === true : undefined;
  const held = proven === declared && catalogued === declared;
  let finding: string | undefined;
  if (!held) {
    const [target] = CONNECT.on(place);
    const about = { column: CONNECT, target: target!, place, access, asker };
    const causes = await (declared ? causesOfMissing(about) : causesOfHeld(about));
    const found = session ? "is allowed" : `is refused with ${refusal}`;
    const differs =
      catalogued === proven ? "" : `, but is ${catalogued ? "held" : "not held"} by the catalogs`;
    finding = `CONNECT on ${database.name} ${declared ? "is declared" : "is not declared"} and ${found}${differs}: ${causes.join("; ")}`;
  }
  const { privilege } = CONNECT;
  recorder.cell({
    ...{ name: privilege, privilege, declared, catalogued, proven, held, finding, evidence, milliseconds },
  });
  return session;
}
