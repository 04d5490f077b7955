import { setTimeout as delay } from "node:timers/promises";
import type { ManifestWorkload } from "../../manifest/schema";
import { oneLine } from "../../clients/text";
import { existing, personaOf, secondsValid, type Application, type WorkloadScene } from "./context";

/** Small, so that renewals and a change of lease are seen within seconds of leases that may live for hours. */
const INCREMENT_SECONDS = 3;
const MAX_AGE_SECONDS = 6;
const CLIENTS = 4;
const PAUSE_MILLISECONDS = 5;
const LOOK_MILLISECONDS = 200;
const BOUND_MILLISECONDS = 30_000;
const REQUEST_TIMEOUT_MILLISECONDS = 10_000;

interface Status {
  readonly leases: readonly { readonly id: string; readonly username: string }[];
  readonly tokenRenewals: number;
}

/** What came back to the clients, and what the server showed meanwhile. */
interface Seen {
  answered: number;
  /** What went wrong, a line each. */
  readonly dropped: string[];
  /** The logins that served, in the order in which they first did. */
  readonly logins: Set<string>;
  /** How often a login's VALID UNTIL was seen to move on. */
  renewals: number;
  tokenRenewals: number;
  leases: Status["leases"];
}

/**
 * An application under requests: its pool's login is renewed and then changed, no request is dropped. The requests are
 * counted here, where they are sent, and the renewals where PostgreSQL shows them; neither is the application's word.
 */
export async function poolWorkload(scene: WorkloadScene, workload: ManifestWorkload<"pool">): Promise<void> {
  const { leases, owner, custody, recorder, startApplication } = scene;
  const persona = personaOf(scene, workload.reader);
  const seen: Seen = {
    ...{ answered: 0, dropped: [], logins: new Set(), renewals: 0, tokenRenewals: 0, leases: [] },
  };
  let stop: (() => Promise<number | string>) | undefined;

  const served = await recorder.check(`pool example: ${persona.name} drops no request`, async (check) => {
    if (!startApplication) return "there is no application to run";
    const application = await startApplication({
      vault: leases.vault,
      authMount: persona.appRole.authMount,
      appRole: persona.appRole.name,
      roleId: await leases.roleId(persona),
      wrappedSecretId: await leases.wrappedSecretId(persona),
      credentials: `${scene.database.vault.mount}/creds/${persona.databaseRole.name}`,
      postgres: scene.address,
      database: scene.database.name,
      query: `SELECT session_user::pg_catalog.text AS "user", pg_catalog.count(*)::integer AS rows FROM ${scene.table}`,
      increment: INCREMENT_SECONDS,
      maxAge: MAX_AGE_SECONDS,
    });
    stop = custody.hold("the pool example's application", () => application.stop());
    await useUntilChanged(scene, application, seen);
    check.note(
      `${String(seen.answered + seen.dropped.length)} requests of ${String(CLIENTS)} clients`,
      `${String(seen.answered)} answered, ${String(seen.dropped.length)} dropped`,
    );
    if (seen.answered === 0) return `no request was answered: ${seen.dropped[0] ?? "none was sent"}`;
    return seen.dropped.length === 0
      ? undefined
      : `no request may be dropped, ${String(seen.dropped.length)} were: ${seen.dropped[0]!}`;
  });

  if (served) {
    await recorder.check("pool example: token and lease renewed", (check) => {
      check.note("VALID UNTIL of the leased logins", `moved on ${String(seen.renewals)} times`);
      check.note("GET /status", `token renewed ${String(seen.tokenRenewals)} times`);
      return Promise.resolve(
        seen.renewals > 0 && seen.tokenRenewals > 0 ? undefined : "token and lease must have been renewed",
      );
    });
    await recorder.check("pool example: leased anew, the login before is gone", async (check) => {
      const [first, ...later] = seen.logins;
      check.note("the logins that served", [...seen.logins].join(", "));
      if (later.length === 0) return `${first!} served alone for ${String(BOUND_MILLISECONDS)} ms`;
      const left = await existing(owner, [first!], check);
      return left.length === 0 ? undefined : `${first!} must be gone, it is still there`;
    });
  }

  await recorder.check("pool example: ended, its logins and leases are gone", async (check) => {
    if (!stop) return "it did not start";
    const code = await stop();
    check.note("SIGTERM", `exit code ${String(code)}`);
    if (code !== 0) return `the application must end with exit code 0, received ${String(code)}`;
    // It may revoke nothing: it has its token end within a second, and its leases with it.
    const end = performance.now() + BOUND_MILLISECONDS;
    let left: string[] = [];
    do {
      left = await existing(owner, [...seen.logins]);
    } while (left.length > 0 && performance.now() < end && (await delay(LOOK_MILLISECONDS, true)));
    await existing(owner, [...seen.logins], check);
    for (const { id } of seen.leases) {
      const renewal = await leases.vault.request("POST", "sys/leases/renew", { lease_id: id });
      check.noteAnswer(renewal, id);
      if (renewal.status !== 400) left.push(id);
    }
    return left.length === 0 ? undefined : `still there: ${left.join(", ")}`;
  });
}

/** Sends requests until a second login serves and the first is gone, or the bound is reached. */
async function useUntilChanged(
  { owner, leases, custody, signal }: WorkloadScene,
  { url }: Application,
  seen: Seen,
): Promise<void> {
  const end = performance.now() + BOUND_MILLISECONDS;
  let isDone = false;
  const goesOn = () => !isDone && performance.now() < end && !(signal?.aborted ?? false);

  const client = async () => {
    while (goesOn()) {
      try {
        const response = await fetch(url, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MILLISECONDS) });
        const text = await response.text();
        const rows = response.ok ? (JSON.parse(text) as { user: string; rows: number }[]) : [];
        if (rows.length !== 1 || rows[0]!.rows !== 1)
          throw new Error(`HTTP ${String(response.status)}: ${text}`);
        seen.logins.add(rows[0]!.user);
        seen.answered += 1;
      } catch (error) {
        seen.dropped.push(oneLine(error));
      }
      await delay(PAUSE_MILLISECONDS);
    }
  };

  const look = async () => {
    const until = new Map<string, number>();
    const held = new Set<string>();
    while (goesOn()) {
      const status = (await (await fetch(`${url}/status`)).json()) as Status;
      seen.tokenRenewals = status.tokenRenewals;
      seen.leases = status.leases;
      for (const { id } of status.leases.filter((lease) => !held.has(lease.id))) {
        held.add(id);
        // A lease that ended by itself is fine: Vault then no longer knows it.
        custody.hold(`lease ${id} of the pool example`, () =>
          leases.vault.call("POST", "sys/leases/revoke", { lease_id: id, sync: true }),
        );
      }
      for (const login of seen.logins) {
        const seconds = await secondsValid(owner, login);
        if (seconds === undefined) continue;
        const now = performance.now() / 1000 + seconds;
        // The first renewal cuts the lease to the increment; only what moves on later counts.
        if (now > (until.get(login) ?? Infinity) + 0.5) seen.renewals += 1;
        until.set(login, now);
      }
      const [first, second] = seen.logins;
      if (second !== undefined) isDone = (await existing(owner, [first!])).length === 0;
      await delay(LOOK_MILLISECONDS);
    }
  };

  const results = await Promise.allSettled([look(), ...Array.from({ length: CLIENTS }, client)]);
  isDone = true;
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}
