import { stripVTControlCharacters } from "node:util";
import { width } from "../../clients/text";
import { compare, catalogsSay, type Observation } from "../../verify/report/compare";
import { renderDetails } from "../../verify/report/details";
import { renderOverview } from "../../verify/report/overview";
import type { Cell, CheckResult, DatabaseReport, PersonaReport, Report } from "../../verify/report/report";
import { COLUMNS, LINES } from "../../verify/report/terminal";

const ROWS = [
  ...["CONNECT", "TEMPORARY", "CREATE"].map((name) => ["database", name]),
  ...["SELECT", "INSERT", "DELETE"].map((name) => ["tables", name]),
  ["vault", "its credentials"],
] as [string, string][];

function result(id: string, findings: readonly string[] = []): CheckResult {
  return {
    id,
    title: id,
    held: findings.length === 0,
    findings,
    details: [],
    remarks: [],
    evidence: [],
    milliseconds: 1,
  };
}

function cell([kind, name]: [string, string], findings: readonly string[] = []): Cell {
  const common = { declared: true, catalogued: true, exercised: findings.length === 0 };
  return { ...result(`${kind}.${name}`, findings), kind, name, ...common };
}

function persona(name: string, failing?: string): PersonaReport {
  const matrix = ROWS.map((row) => cell(row, row[1] === failing ? ["is refused"] : []));
  return { name, matrix, groups: [{ title: "lease", checks: [result("lease")] }] };
}

function database(
  name: string,
  personas: readonly PersonaReport[],
  checks = [result("public")],
): DatabaseReport {
  return { name, schemas: ["example"], personas, groups: [{ title: "roles and PUBLIC", checks }] };
}

function report(...databases: DatabaseReport[]): Report {
  const counts = { passed: 10, failed: 0, milliseconds: 1234 };
  const servers = { vault: "2.7.2", postgres: ["18.4"] };
  return {
    version: 2,
    environment: "local",
    servers,
    databases,
    remarks: [],
    left: [],
    interrupted: false,
    asked: {},
    ...counts,
  };
}

/** Where each character stands that is a mark. */
function markColumns(text: string): number[][] {
  return text
    .split("\n")
    .filter((line) => /[●○]/.test(line) && !line.includes("declared"))
    .map((line) => [...line.matchAll(/[●○✗]/g)].map(({ index }) => width(line.slice(0, index))));
}

const PEOPLE = ["schema-admin", "readwrite", "readonly"].map((name) => persona(name));

test("what is shown by default fits a terminal, with what failed below it", () => {
  const many = ["admin", "writer", "reader"].map((name) => persona(name, "SELECT"));
  for (const personas of [PEOPLE, many]) {
    const lines = renderOverview(report(database("nanvc", personas)), false).split("\n");
    expect(lines.length).toBeLessThanOrEqual(LINES);
    for (const line of lines) expect(width(line)).toBeLessThanOrEqual(COLUMNS);
  }
});

test.each([
  ["overview", renderOverview],
  ["details", renderDetails],
])(
  "a failing cell in colour, and long names and wide letters, leave the columns of the %s as they are",
  (_, render) => {
    const personas = [
      persona("日本語-readers", "SELECT"),
      persona("a-persona-with-a-very-long-name"),
      persona("b", "SELECT"),
    ];
    const coloured = render(report(database("nanvc", personas)), true);
    const plain = render(report(database("nanvc", personas)), false);
    expect(coloured).not.toBe(plain);
    expect(stripVTControlCharacters(coloured)).toBe(plain);
    const heads = plain.split("\n").find((line) => line.startsWith("nanvc, "))!;
    const starts = [...heads.matchAll(/ {2}(\S)/g)].map(({ index }) => width(heads.slice(0, index + 2)));
    // Two names are never one word.
    for (const columns of markColumns(plain).filter(({ length }) => length >= starts.length))
      expect(columns.filter((at) => starts.includes(at))).toEqual(starts);
  },
);

test("personas that do not fit beside each other follow below, and none is missing", () => {
  const names = Array.from({ length: 20 }, (_, i) => `persona-${String(i)}`);
  const text = renderOverview(
    report(
      database(
        "nanvc",
        names.map((name) => persona(name)),
      ),
    ),
    false,
  );
  for (const line of text.split("\n")) expect(width(line)).toBeLessThanOrEqual(COLUMNS);
  expect(text.match(/persona-\d+/g)).toEqual(names);
});

test("a database with more personas than a terminal has room for is a line for each", () => {
  const rows = Array.from({ length: 40 }, (_, i): [string, string] => ["tables", `PRIVILEGE_${String(i)}`]);
  const names = Array.from({ length: 9 }, (_, i) => `persona-${String(i)}`);
  const personas = names.map((name, i) => ({
    ...persona(name),
    // No two rows have the same marks.
    matrix: rows.map((row, at) => ({
      ...cell(row, i === 3 && at === 5 ? ["is refused"] : []),
      declared: at % 2 === 0,
    })),
  }));
  const lines = renderOverview(report(database("nanvc", personas)), false).split("\n");
  expect(lines.length).toBeLessThanOrEqual(LINES);
  expect(lines.join("\n").match(/^[✓✗] persona-\d+ .*passed/gm)).toHaveLength(names.length);
  expect(lines).toContainEqual(expect.stringMatching(/^✗ persona-3 .* 40 passed, 1 failed$/));
});

test("of twenty databases each is a line, and what failed is said", () => {
  const databases = Array.from({ length: 20 }, (_, i) =>
    database(`app_${String(i)}`, PEOPLE, i === 7 ? [result("public", ["PUBLIC has CONNECT"])] : undefined),
  );
  const lines = renderOverview(report(...databases), false).split("\n");
  expect(lines.filter((line) => line.includes(" 3 personas, "))).toHaveLength(20);
  expect(lines).toContainEqual(expect.stringMatching(/^✗ app_7 .* 24 passed, 1 failed$/));
  expect(lines).toContainEqual("✗ app_7: public: PUBLIC has CONNECT");
  expect(lines.length).toBeLessThan(30);
});

test("of many findings the first three are shown and their number, and of long ones 500 characters", () => {
  const findings = (text: string) => Array.from({ length: 60 }, (_, i) => `${text} ${String(i)}`);
  const shown = (text: string) =>
    renderOverview(report(database("nanvc", PEOPLE, [result("public", findings(text))])), false)
      .split("\n")
      .find((line) => line.startsWith("✗ nanvc"))!;
  expect(shown("table")).toBe(
    "✗ nanvc: public: 60 findings: table 0; table 1; table 2; and 57 more, in the report",
  );
  expect(shown("x".repeat(400)).length).toBeLessThanOrEqual(500);
});

describe("comparing what is declared with what the catalogs say and what the server did", () => {
  const observation = (
    what: string,
    catalogued: boolean | undefined,
    ...exercised: (boolean | undefined)[]
  ) =>
    ({
      what,
      catalogued,
      exercised,
      said: catalogsSay(catalogued),
      causes: ["granted to PUBLIC"],
    }) satisfies Observation;

  test("as declared there is nothing to say", () => {
    expect(compare(true, [observation("SELECT on a", true, true)])).toEqual({
      declared: true,
      catalogued: true,
      exercised: true,
      findings: [],
      details: [],
    });
  });

  test.each<[string, boolean, Observation, string]>([
    [
      "held and used, not declared",
      false,
      observation("SELECT on a", true, true),
      "SELECT on a is not declared and is allowed: granted to PUBLIC",
    ],
    [
      "refused, though the catalogs say held",
      true,
      observation("SELECT on a", true, false),
      "SELECT on a is declared and is refused, but is held by the catalogs: granted to PUBLIC",
    ],
    [
      "used, though the catalogs say it is not held",
      true,
      observation("SELECT on a", false, true),
      "SELECT on a is declared and is allowed, but is not held by the catalogs: granted to PUBLIC",
    ],
    [
      "nothing to send",
      false,
      observation("DROP on a", true),
      "DROP on a is not declared and is held by the catalogs: granted to PUBLIC",
    ],
    [
      "neither used nor refused",
      true,
      observation("SELECT on a", true, undefined),
      "SELECT on a is declared and could not be tried, but is held by the catalogs: granted to PUBLIC",
    ],
    [
      "one unclear and one allowed",
      false,
      observation("a privilege on a", false, undefined, true),
      "a privilege on a is not declared and is allowed, but is not held by the catalogs: granted to PUBLIC",
    ],
    [
      "one of several statements",
      false,
      observation("a privilege on a", false, false, true),
      "a privilege on a is not declared and is allowed, but is not held by the catalogs: granted to PUBLIC",
    ],
  ])("%s", (_, declared, observed, finding) => {
    expect(compare(declared, [observed]).findings).toEqual([finding]);
  });

  test("several objects for the same reason are one finding", () => {
    const observed = ["a", "b"].map((name) => ({
      ...observation(`SELECT on ${name}`, true, true),
      short: name,
    }));
    expect(compare(false, observed).findings).toEqual([
      "SELECT on a, b is not declared and is allowed: granted to PUBLIC",
    ]);
  });
});
