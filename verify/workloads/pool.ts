import { setTimeout as delay } from "node:timers/promises";
import { oneLine } from "../../clients/text";
import { until } from "../../clients/within";
import { validUntil } from "../lifecycle/valid-until";
import { loginMethod } from "../login/login";
import type { Check } from "../report/check";
import { existing, personaOf, type Application, type WorkloadContext } from "./context";

/** Short, so that renewals and a change of lease are seen within seconds of leases that may live for hours. */
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
interface Traffic {
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
export interface PoolContext extends WorkloadContext<"pool"> {
  traffic?: Traffic;
  /** Ends the application. Undefined where it did not start. */
  stop?: () => Promise<number | string>;
}

export async function serve(context: PoolContext, check: Check): Promise<void> {
  const { database, vault, custody, startApplication } = context;
  const persona = personaOf(context, context.workload.reader);
  if (!startApplication) {
    check.find("there is no application to run");
    return;
  }
  const application = await startApplication({
    vault,
    login: await loginMethod(persona).applicationLogin(context, persona),
    credentials: `${database.vault.mount}/creds/${persona.databaseRole.name}`,
    postgres: context.address,
    database: database.name,
    query: `SELECT session_user::pg_catalog.text AS "user", pg_catalog.count(*)::integer AS rows FROM ${context.table}`,
    increment: INCREMENT_SECONDS,
    maxAge: MAX_AGE_SECONDS,
  });
  context.stop = custody.hold("the pool example's application", () => application.stop());
  const traffic: Traffic = {
    ...{ answered: 0, dropped: [], logins: new Set(), renewals: 0, tokenRenewals: 0, leases: [] },
  };
  context.traffic = traffic;
  await useUntilChanged(context, application, traffic);
  const { answered, dropped } = traffic;
  check.note(
    `${String(answered + dropped.length)} requests of ${String(CLIENTS)} clients`,
    `${String(answered)} answered, ${String(dropped.length)} dropped`,
  );
  if (answered === 0) check.find(`no request was answered: ${dropped[0] ?? "none was sent"}`);
  else if (dropped.length > 0)
    check.find(`no request may be dropped, ${String(dropped.length)} were: ${dropped[0]!}`);
}

export function expectRenewals({ traffic }: PoolContext, check: Check): void {
  const { renewals, tokenRenewals } = traffic!;
  check.note("VALID UNTIL of the leased logins", `moved on ${String(renewals)} times`);
  check.note("GET /status", `token renewed ${String(tokenRenewals)} times`);
  if (renewals === 0 || tokenRenewals === 0) check.find("token and lease must have been renewed");
}

export async function expectLeasedAnew({ owner, traffic }: PoolContext, check: Check): Promise<void> {
  const [first, ...later] = traffic!.logins;
  check.note("the logins that served", [...traffic!.logins].join(", "));
  if (later.length === 0) check.find(`${first!} served alone for ${String(BOUND_MILLISECONDS)} ms`);
  else if ((await existing(owner, [first!], check)).length > 0)
    check.find(`${first!} must be gone, it is still there`);
}

export async function stopApplication(context: PoolContext, check: Check): Promise<void> {
  const { owner, vault, stop, traffic } = context;
  if (!stop) {
    check.find("it did not start");
    return;
  }
  const code = await stop();
  check.note("SIGTERM", `exit code ${String(code)}`);
  if (code !== 0) check.find(`the application must end with exit code 0, received ${String(code)}`);
  const { logins, leases } = traffic!;
  // It may revoke nothing: it has its token end within a second, and its leases with it.
  await until(
    BOUND_MILLISECONDS,
    async () => (await existing(owner, [...logins])).length === 0 || undefined,
    { intervalMilliseconds: LOOK_MILLISECONDS },
  );
  const left = await existing(owner, [...logins], check);
  for (const { id } of leases) {
    const renewal = await vault.request("POST", "sys/leases/renew", { lease_id: id });
    check.noteAnswer(renewal, id);
    if (renewal.status !== 400) left.push(id);
  }
  if (left.length > 0) check.find(`still there: ${left.join(", ")}`);
}

/** Sends requests until a second login serves and the first is gone, or the bound is reached. */
async function useUntilChanged(
  { owner, vault, custody, signal }: PoolContext,
  { url }: Application,
  traffic: Traffic,
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
        traffic.logins.add(rows[0]!.user);
        traffic.answered += 1;
      } catch (error) {
        traffic.dropped.push(oneLine(error));
      }
      await delay(PAUSE_MILLISECONDS);
    }
  };

  const look = async () => {
    const ends = new Map<string, number>();
    const held = new Set<string>();
    while (goesOn()) {
      const status = (await (await fetch(`${url}/status`)).json()) as Status;
      traffic.tokenRenewals = status.tokenRenewals;
      traffic.leases = status.leases;
      for (const { id } of status.leases.filter((lease) => !held.has(lease.id))) {
        held.add(id);
        // A lease that ended by itself is fine: Vault then no longer knows it.
        custody.hold(`lease ${id} of the pool example`, () =>
          vault.call("POST", "sys/leases/revoke", { lease_id: id, sync: true }),
        );
      }
      for (const login of traffic.logins) {
        const valid = await validUntil(owner, login);
        if (!valid) continue;
        // The first renewal cuts the lease to the increment; only what moves on later counts.
        if (valid.at > (ends.get(login) ?? Infinity)) traffic.renewals += 1;
        ends.set(login, valid.at);
      }
      const [first, second] = traffic.logins;
      if (second !== undefined) isDone = (await existing(owner, [first!])).length === 0;
      await delay(LOOK_MILLISECONDS);
    }
  };

  const results = await Promise.allSettled([look(), ...Array.from({ length: CLIENTS }, client)]);
  isDone = true;
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}
