import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../support/program";
import { unpinned, unqualified } from "./unqualified";

const FOLDER = join(ROOT, "sql");
const FILES = readdirSync(FOLDER, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".sql"))
  .sort();
const read = (file: string) => readFileSync(join(FOLDER, file), "utf8");

test.each(FILES)("sql/%s looks no name up on the search path", (file) => {
  expect(unqualified(read(file))).toEqual([]);
});

test.each(FILES)("each block of sql/%s pins its search path and bounds its waits before all else", (file) => {
  // A function's body is a block too.
  const isBody = file.startsWith("functions/body/");
  expect(unpinned(isBody ? `DO $body$ ${read(file)} $body$` : read(file))).toEqual([]);
});

// What the two above have to see.
test.each([
  ["SELECT array_agg(pid) FROM pg_catalog.pg_locks", ["line 1: array_agg("]],
  ["SELECT pg_catalog.array_agg(pid)\nFROM pg_locks", ["line 2: FROM pg_locks"]],
  ["SELECT 1 JOIN x ON true", ["line 1: FROM x"]],
  ["SELECT a = b", ["line 1: ="]],
  ["SELECT a OPERATOR(pg_catalog.=) b, pg_catalog.count(*), -1", []],
  ["SELECT a OPERATOR(example.=) b", ["line 1: ="]],
  ["SELECT a || b, 'x' LIKE 'y'", ["line 1: ||", "line 1: LIKE"]],
  ["SELECT a IN (1), b BETWEEN c AND d", ["line 1: IN (…), which compares by =", "line 1: BETWEEN"]],
  ["SELECT x FROM pg_catalog.a JOIN pg_catalog.b USING (c)", ["line 1: JOIN … USING, which compares by ="]],
  ["SELECT a IS NOT DISTINCT FROM b", ["line 1: IS DISTINCT FROM"]],
  ["SELECT 'pg_authid'::regclass, 1::integer, 'x'::pg_catalog.text", ["line 1: ::regclass"]],
  ["DO $a$ DECLARE x text; y CONSTANT pg_catalog.oid := 1; BEGIN END $a$", ["line 1: x text"]],
  ['REVOKE :"group" FROM "{{name}}"; ALTER ROLE "{{name}}" SET search_path = :"schema"', []],
  ["-- array_agg(pid) = 1\nSELECT 'array_agg(pid) = 1'", []],
  ["WITH a AS (SELECT 1) SELECT FROM a", []],
])("a name that is looked up is seen in %j", (sql, found) => {
  expect(unqualified(sql)).toEqual(found);
});

test.each([
  ["DO $a$ BEGIN PERFORM 1; END $a$", ["line 1: search_path", "line 1: lock_timeout"]],
  [
    "DO $a$ BEGIN PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true); PERFORM 1; END $a$",
    ["line 1: lock_timeout"],
  ],
  [
    "DO $a$ BEGIN PERFORM 1; PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), pg_catalog.set_config('lock_timeout', '1s', true); END $a$",
    ["line 1: search_path", "line 1: lock_timeout"],
  ],
  [
    "DO $a$ BEGIN PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), pg_catalog.set_config('lock_timeout', '1s', true); END $a$",
    [],
  ],
  ["DO $a$ BEGIN SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL lock_timeout = '1s'; END $a$", []],
])("what a block does not pin is seen in %j", (sql, found) => {
  expect(unpinned(sql)).toEqual(found);
});
