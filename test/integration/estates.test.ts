import { readFileSync } from "node:fs";
import { fixSql } from "../../ops/verification/fix-sql";
import { describeChecks } from "../../verify/checks";
import { renderOverview } from "../../verify/report/overview";
import { cellsOf, type Report } from "../../verify/report/report";
import { LONGEST } from "../../verify/report/terminal";
import { estates, type Estate } from "../estates/estate";
import { deployEstates, foundBy, hold, isFoundIn, verdictOf } from "../estates/run";
import type { Deployment } from "../support/deployment";
import { MAJORS } from "./attacks/support";

/** Schemas as people have them: the verdict is right of each, and what is changed by hand is found and named. */
const all = estates();
const green = all.filter(({ verdict }) => verdict === "green");

/** What is about access to the users' objects; the rest is the same in every database. */
const only = describeChecks()
  .filter(({ group }) => ["privileges", "session", "roles and PUBLIC"].includes(group))
  .map(({ id }) => id);

describe.each(MAJORS)("on PostgreSQL %i", (postgresMajor) => {
  let deployment: Deployment;
  let report: Report;
  let logged: string;

  beforeAll(async () => {
    deployment = await deployEstates(all, postgresMajor);
    const { logFile } = deployment.sandbox.postgres;
    const before = readFileSync(logFile, "utf8").length;
    const release = await hold(deployment, all);
    report = await deployment.verify({ selection: { only } });
    await release();
    logged = readFileSync(logFile, "utf8").slice(before);
  });

  afterAll(() => deployment.stop());

  test.each(all)("$name is $verdict", (estate: Estate) => {
    expect(verdictOf(estate, all, report)).toEqual({ falseReds: [], falseGreens: [] });
  });

  test("nothing of the users' has run, nothing is left, and nobody was waited for", () => {
    expect(logged).not.toMatch(/^.*LOG: {2}leasehold-trap.*$/m);
    expect(report.left).toEqual([]);
    expect(logged).not.toContain("lock timeout");
    expect(report.remarks).toEqual(
      expect.arrayContaining([
        expect.stringMatching(
          /^estates: "locked"\.held: by the catalogs alone, since there is an AccessExclusiveLock of postgres \(process \d+/,
        ),
        expect.stringMatching(
          /^watched: nothing is made, since it would run the event trigger dropped, the event trigger guard/,
        ),
      ]),
    );
  });

  test("a statement was sent where it evaluates nothing of the users', and the cell says where not", () => {
    const evidence = cellsOf(report)
      .filter(({ persona, result }) => persona === "report" && result.id === "tables.SELECT")
      .flatMap(({ result }) => result.evidence);
    const sent = evidence.map((each) => each.sent);
    expect(sent).toContain('SELECT * FROM "django".auth_user LIMIT 0');
    expect(sent).toContain('SELECT * FROM "published".keyless LIMIT 0');
    for (const reason of [
      "a view",
      "a materialized view",
      "a foreign table",
      "row security",
      "a rule",
      "a trigger",
      "a lock",
    ])
      expect(sent).toContain(`by the catalogs, since there is ${reason}`);
    const ofUsers = evidence.find((each) => each.sent.endsWith("a function of the users'"))!;
    for (const table of ['"partitions".indexed', '"routines".fixed', '"routines".people', '"routines".coded'])
      expect(ofUsers.got).toContain(table);
  });

  test("a finding on a terminal is a line of some hundred characters, with what mends it", () => {
    const lines = renderOverview(report, false).split("\n");
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(LONGEST);
    expect(lines).toContainEqual(
      expect.stringMatching(
        /^✗ red service: tables\.INSERT: INSERT on "crowd"\.t1, "crowd"\.t10, "crowd"\.t100 and 1,997 more is declared and is refused: it belongs to red_stranger, not to red_owner; .*; mend: GRANT INSERT ON TABLE "crowd"\.t1, "crowd"\.t10, "crowd"\.t100, .* TO "red_service", and \d\d\d more: --fix-sql <file>$/,
      ),
    );
    const { details } = cellsOf(report).find(
      ({ database, persona, result }) =>
        database === "red" && persona === "report" && result.id === "tables.SELECT",
    )!.result;
    expect(details.find(({ objects }) => objects.length > 0)!.objects).toHaveLength(2000);
  });

  test("twenty accesses an estate, changed by hand and all at once, are found and named; statements mend them", async () => {
    // The red ones are not looked at again.
    const databases = deployment.manifest.databases.filter(({ name }) =>
      green.some(({ database }) => database === name),
    );
    const manifest = { ...deployment.manifest, databases };
    for (const database of databases) {
      const client = await deployment.connect(database);
      for (const { faults } of green.filter((estate) => estate.database === database.name))
        for (const { sql } of faults) await client.query(sql);
      await client.end();
    }
    const changed = await deployment.verify({ manifest, selection: { only } });
    const found = foundBy(changed);
    const missed = green.flatMap(({ name, database, faults }) =>
      faults
        .filter((fault) => !isFoundIn(found, fault, database))
        .map((fault) => `${name}: ${fault.sql} -- ${fault.check}`),
    );
    expect(missed).toEqual([]);
    for (const { faults } of green) expect(faults.length).toBeGreaterThanOrEqual(20);

    const sql = fixSql(changed, manifest).text;
    const parts = sql.split(/^\\connect "(.*)"$/m);
    for (const database of databases) {
      const client = await deployment.connect(database);
      const part = parts[parts.indexOf(database.name) + 1]!;
      // It may be run again.
      await client.query(part);
      await client.query(part);
      await client.end();
    }
    const mended = foundBy(await deployment.verify({ manifest, selection: { only } }));
    // The superuser's functions are to be dropped or accepted: no statement of the verifier's does that.
    expect(mended.filter(({ text }) => !text.includes(".become()"))).toEqual([]);
  });
});
