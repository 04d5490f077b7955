import type { IssuedLease } from "../vault/issued-leases";
import type { MarkedLogin } from "./marked-logins";

/** What is known of a leased login, and why. */
export interface Verdict {
  readonly login: MarkedLogin;
  /**
   * `orphaned`: no lease stands for it, for certain. `undecided`: a lease may. `leased`: one does, or is about to. `powerful`:
   * it has what no lease gives.
   */
  readonly state: "orphaned" | "undecided" | "leased" | "powerful";
  /** For people. */
  readonly why: string;
}

/**
 * For how long a login is left to Vault, which makes it before it keeps the lease, and tries to revoke one that has ended for nine
 * (OpenBao) or fourteen minutes (Vault). Clocks may differ by as much.
 */
export const GRACE_SECONDS = 15 * 60;

/** Between the time in a login's name and the time at which Vault keeps its lease: Vault gives up on a request after this. */
const SECONDS_TO_ISSUE = 90;

/** As in Vault's names of logins. */
const ROLE_LENGTH = 8;
/** Twenty letters and the time, each after a dash. */
const TAIL = /-[A-Za-z0-9]{20}-([0-9]{10})$/;

/** What a revocation says of why it could not drop a role, in words. */
const REASONS: Readonly<Record<string, string>> = {
  "2BP01": "objects in another database depend on it",
  "40P01": "others held what it takes, and waited for it",
  "42501": "Vault's login is not allowed to hand over what it owns",
  "53200": "it takes more locks than the server has",
  "54000": "it had too much to hand over",
  "55006": "it had prepared a transaction",
  "55P03": "a lock was not available in time",
  "57014": "it took too long",
};

/**
 * Tells which logins no lease stands for. Vault does not say whose a lease is, so what is compared is the database role and the second
 * in the login's name with the role and the second of the leases. What could be a lease's is never taken for orphaned.
 * @param leases all of Vault's, or undefined where it can't be asked: then only what is closed or over is orphaned
 */
export function judge(
  logins: readonly MarkedLogin[],
  leases: readonly IssuedLease[] | undefined,
  grace = GRACE_SECONDS,
): Verdict[] {
  const verdicts: Verdict[] = [];
  const open: MarkedLogin[] = [];
  for (const login of logins) {
    const reason = ownReason(login);
    if (login.attributes.length > 0)
      verdicts.push({
        login,
        state: "powerful",
        why: `it has ${login.attributes.join(", ")}, which no lease gives`,
      });
    else if (reason !== undefined) verdicts.push({ login, state: "orphaned", why: reason });
    else open.push(login);
  }
  if (!leases)
    return [
      ...verdicts,
      ...open.map((login): Verdict =>
        isOver(login, grace)
          ? { login, state: "orphaned", why: overText(login) }
          : { login, state: "undecided", why: "Vault was not asked whether it has its lease" },
      ),
    ];
  const endedOf = byTime(leases.filter((lease) => hasEnded(lease, grace)));
  const livingOf = byTime(leases.filter((lease) => !hasEnded(lease, grace)));
  for (const group of groupsOf(open, livingOf)) {
    const current = group.logins.filter((login) => !isOver(login, grace)).length;
    for (const login of group.logins)
      verdicts.push({ login, ...amongSame(login, group, current, endedOf(login).length > 0, grace) });
  }
  return verdicts;
}

/** Where the login itself tells that it is no lease's any more. */
function ownReason({ revoked, prepared, groups }: MarkedLogin): string | undefined {
  if (revoked !== undefined) {
    const [, sqlstate = ""] = /\((\w{5})\)/.exec(revoked) ?? [];
    const words = REASONS[sqlstate];
    return `a revocation could not drop it: ${words ? `${words} (${sqlstate})` : `SQLSTATE ${sqlstate || "unknown"}`}`;
  }
  return prepared && groups.length === 0
    ? "a revocation could not end it: a transaction that it prepared holds its row"
    : undefined;
}

/**
 * Of a login and the leases that could be its own, or another's of these logins.
 * @param current how many of the logins are not past their VALID UNTIL
 */
function amongSame(
  login: MarkedLogin,
  { logins, leases }: Group,
  current: number,
  isEnded: boolean,
  grace: number,
): Pick<Verdict, "state" | "why"> {
  if (login.age <= grace) return { state: "leased", why: "it has just been made" };
  const over = isOver(login, grace);
  if (leases.size === 0 || (over && leases.size <= current)) {
    const why = over ? overText(login) : "Vault has no lease of that time";
    return { state: "orphaned", why: isEnded ? "its lease has ended, and Vault can't revoke it" : why };
  }
  if ((over ? logins.length : current) <= leases.size)
    return { state: "leased", why: "Vault has a lease of that time" };
  return {
    state: "undecided",
    why: `${String(logins.length)} logins are of the time of ${leases.size === 1 ? "one lease" : `${String(leases.size)} leases`}, and Vault does not tell whose`,
  };
}

/** Whether Vault has given up revoking it, or has tried for long enough. */
export function hasEnded({ secondsLeft, error }: IssuedLease, grace: number): boolean {
  return error !== undefined || secondsLeft <= -grace;
}

function isOver({ past }: MarkedLogin, grace: number): boolean {
  return past !== undefined && past > grace;
}

function overText({ until }: MarkedLogin): string {
  return `its VALID UNTIL ${until ?? ""} has passed`;
}

/** Finds the leases that could be a login's. */
function byTime(leases: readonly IssuedLease[]): (login: MarkedLogin) => IssuedLease[] {
  const intervals = new Map<number, IssuedLease[]>();
  const intervalOf = (seconds: number) => Math.floor(seconds / SECONDS_TO_ISSUE);
  for (const lease of leases) {
    const interval = intervalOf(lease.issued);
    intervals.set(interval, [...(intervals.get(interval) ?? []), lease]);
  }
  return ({ name }) => {
    const [tail = "", time] = TAIL.exec(name) ?? [];
    const stem = name.slice(0, name.length - tail.length);
    return [-1, 0, 1]
      .flatMap((step) => intervals.get(intervalOf(Number(time)) + step) ?? [])
      .filter(
        ({ role, issued }) =>
          Math.abs(issued - Number(time)) <= SECONDS_TO_ISSUE &&
          stem.endsWith(`-${role.slice(0, ROLE_LENGTH)}`),
      );
  };
}

interface Group {
  readonly logins: MarkedLogin[];
  readonly leases: Set<IssuedLease>;
}

/** Logins with the leases that could be theirs; those that share one, directly or through others, are one group. */
function groupsOf(
  logins: readonly MarkedLogin[],
  leasesOf: (login: MarkedLogin) => IssuedLease[],
): Set<Group> {
  const groups = new Set<Group>();
  const groupOf = new Map<IssuedLease, Group>();
  for (const login of logins) {
    const mine = leasesOf(login);
    const [found, ...others] = new Set(mine.flatMap((lease) => groupOf.get(lease) ?? []));
    const group = found ?? { logins: [], leases: new Set() };
    group.logins.push(login);
    for (const other of others) {
      group.logins.push(...other.logins);
      groups.delete(other);
    }
    for (const lease of [...mine, ...others.flatMap((other) => [...other.leases])]) {
      group.leases.add(lease);
      groupOf.set(lease, group);
    }
    groups.add(group);
  }
  return groups;
}
