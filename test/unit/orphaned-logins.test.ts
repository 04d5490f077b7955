import { GRACE_SECONDS as GRACE, judge } from "../../ops/postgres/orphaned-logins";
import type { MarkedLogin } from "../../ops/postgres/marked-logins";
import type { IssuedLease } from "../../ops/vault/issued-leases";

/** Seconds of the epoch, as in the names of logins. */
const NOW = 1_795_738_995;
const HOUR = 3600;

let made = 0;

/** A login that was made some seconds ago. */
function login(age: number, more: Partial<MarkedLogin> & { role?: string } = {}): MarkedLogin {
  const { role = "readonly", ...fields } = more;
  const random = String((made += 1)).padStart(20, "0");
  return {
    name: `v-token-${role}-${random}-${String(NOW - age)}`,
    groups: ["readonly_role"],
    prepared: false,
    attributes: [],
    age,
    until: "2026-11-27 01:23:20+00",
    past: -HOUR,
    ...fields,
  };
}

function lease(age: number, more: Partial<IssuedLease> = {}): IssuedLease {
  return { id: "x", role: "readonly_role", issued: NOW - age + 0.4, secondsLeft: HOUR, ...more };
}

const states = (logins: MarkedLogin[], leases?: IssuedLease[]) => {
  const verdicts = new Map(judge(logins, leases).map((verdict) => [verdict.login, verdict.state]));
  return logins.map((each) => verdicts.get(each));
};

test.each<[string, MarkedLogin[], IssuedLease[] | undefined, string[]]>([
  ["its lease lives", [login(HOUR)], [lease(HOUR)], ["leased"]],
  ["the name's second is another's", [login(HOUR)], [lease(HOUR - 91), lease(HOUR + 91)], ["orphaned"]],
  ["Vault took its time", [login(HOUR)], [lease(HOUR - 89)], ["leased"]],
  ["the lease is of another role", [login(HOUR)], [lease(HOUR, { role: "readwrite_role" })], ["orphaned"]],
  ["a role of a short name", [login(HOUR, { role: "ro" })], [lease(HOUR, { role: "ro" })], ["leased"]],
  [
    "a role whose name ends like it",
    [login(HOUR, { role: "a-ro" })],
    [lease(HOUR, { role: "ro" })],
    ["leased"],
  ],
  ["Vault has none", [login(HOUR)], [], ["orphaned"]],
  ["it is being made", [login(GRACE - 1)], [], ["leased"]],
  ["PostgreSQL's clock is behind", [login(-HOUR)], [], ["leased"]],
  ["two logins, two leases", [login(HOUR), login(HOUR)], [lease(HOUR), lease(HOUR)], ["leased", "leased"]],
  ["two logins, one lease", [login(HOUR), login(HOUR - 5)], [lease(HOUR)], ["undecided", "undecided"]],
  [
    "three logins in a row share two leases",
    [login(HOUR), login(HOUR + 80), login(HOUR + 160)],
    [lease(HOUR + 40), lease(HOUR + 120)],
    ["undecided", "undecided", "undecided"],
  ],
  [
    "one joins two groups",
    [login(HOUR), login(HOUR + 160), login(HOUR + 80)],
    [lease(HOUR + 1), lease(HOUR + 159)],
    ["undecided", "undecided", "undecided"],
  ],
  [
    "of two logins one is over",
    [login(HOUR), login(HOUR, { past: GRACE + 1 })],
    [lease(HOUR)],
    ["leased", "orphaned"],
  ],
  [
    "it is over, and a lease lives that may be its own",
    [login(HOUR, { past: GRACE + 1 })],
    [lease(HOUR)],
    ["leased"],
  ],
  [
    "two are over, and a lease lives",
    [login(HOUR, { past: GRACE + 1 }), login(HOUR, { past: GRACE + 1 })],
    [lease(HOUR)],
    ["undecided", "undecided"],
  ],
  ["its lease has ended", [login(HOUR)], [lease(HOUR, { secondsLeft: -GRACE })], ["orphaned"]],
  ["Vault tries to revoke its lease", [login(HOUR)], [lease(HOUR, { secondsLeft: 1 - GRACE })], ["leased"]],
  [
    "Vault has given up revoking its lease",
    [login(HOUR)],
    [lease(HOUR, { secondsLeft: -1, error: "out of retries" })],
    ["orphaned"],
  ],
  ["no VALID UNTIL, no lease", [login(HOUR, { past: undefined, until: undefined })], [], ["orphaned"]],
  ["a revocation left it", [login(1, { revoked: " (2BP01)" })], [lease(1)], ["orphaned"]],
  [
    "it prepared a transaction and lost its group",
    [login(1, { prepared: true, groups: [] })],
    [],
    ["orphaned"],
  ],
  ["it prepared a transaction", [login(HOUR, { prepared: true })], [lease(HOUR)], ["leased"]],
  ["it lost its group, and its lease lives", [login(HOUR, { groups: [] })], [lease(HOUR)], ["leased"]],
  [
    "it has an attribute, whatever else",
    [login(HOUR, { attributes: ["CREATEROLE"], revoked: " (2BP01)", past: HOUR })],
    [],
    ["powerful"],
  ],
  ["Vault was not asked", [login(HOUR), login(1)], undefined, ["undecided", "undecided"]],
  ["Vault was not asked, and it is over", [login(HOUR, { past: GRACE + 1 })], undefined, ["orphaned"]],
  ["Vault was not asked, and it is just over", [login(HOUR, { past: GRACE - 1 })], undefined, ["undecided"]],
  [
    "Vault was not asked, and it was revoked",
    [login(HOUR, { revoked: " (55P03)" })],
    undefined,
    ["orphaned"],
  ],
])("%s", (_, logins, leases, expected) => {
  expect(states(logins, leases)).toEqual(expected);
});

test("thousands of both at one time", () => {
  const logins = Array.from({ length: 4001 }, (_, i) => login(HOUR + i));
  const leases = Array.from({ length: 4000 }, (_, i) => lease(HOUR + i));
  expect(new Set(states(logins, leases))).toEqual(new Set(["undecided"]));
  expect(new Set(states(logins.slice(1), leases))).toEqual(new Set(["leased"]));
});
