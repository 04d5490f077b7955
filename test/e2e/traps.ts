import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../counts";

/**
 * Functions, aggregates and operators that suit a call better than pg_catalog's of the same name, for who resolves names
 * through a schema where somebody else may create
 * (https://www.postgresql.org/docs/18/typeconv-func.html).
 */

/** What cyrilgdn/postgresql 1.26.0 calls without a schema, and what its neighbours might. */
const CALLED_BY_THE_PROVIDER = [
  ...[
    "aclexplode",
    "array_agg",
    "array_remove",
    "pg_advisory_xact_lock",
    "pg_backend_pid",
    "pg_get_userbyid",
  ],
  ...["pg_encoding_to_char", "pg_terminate_backend", "quote_ident", "version"],
];

/** Every word before a parenthesis in the programs that talk to PostgreSQL; those that are functions of its are trapped. */
function called(): string[] {
  const files = ["ops", "sql", "sql/member", "sql/owner"].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => /\.(ts|sql)$/.test(file))
      .map((file) => readFileSync(join(ROOT, folder, file), "utf8")),
  );
  const words = files.flatMap((text) => [...text.matchAll(/\b([a-z_]+)\s*\(/g)].map(([, word]) => word!));
  return [...new Set([...words, ...CALLED_BY_THE_PROVIDER])].sort();
}

/**
 * SQL that sets them in a schema. Each that is run for one of the logins notes itself in the schema's sequence `sprung`, which
 * no rollback undoes.
 */
export function trapsIn(schema: string, logins: readonly string[]): string {
  const texts = (values: readonly string[]) => values.map((value) => `'${value}'`).join(", ");
  return `
    CREATE TABLE "${schema}".traps (id integer PRIMARY KEY, name text);
    CREATE SEQUENCE "${schema}".sprung MINVALUE 0 START 0;
    GRANT USAGE ON SCHEMA "${schema}" TO PUBLIC;
    GRANT SELECT, UPDATE ON SEQUENCE "${schema}".sprung TO PUBLIC;
    DO $set$
    DECLARE
      types CONSTANT text[] := ARRAY['text', 'name', '"char"', 'oid', 'regclass', 'regrole', 'integer', 'bigint', 'text[]',
        'name[]', 'information_schema.sql_identifier'];
      trap record;
      id integer := 0;
      signature text;
      taken text;
    BEGIN
      FOR trap IN
        WITH one AS (SELECT ARRAY[type] AS types FROM unnest(types) type),
        two AS (SELECT ARRAY[a, b] AS types FROM unnest(types) a, unnest(types) b),
        called AS (
          SELECT proname, pronargs, pronargdefaults, CASE
            WHEN prorettype IN ('anyarray'::regtype, 'anycompatiblearray'::regtype) THEN 'text[]'
            WHEN prorettype::regtype::text LIKE 'any%' THEN 'text'
            ELSE prorettype::regtype::text END AS returned
          FROM pg_proc
          WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND proname IN (${texts(called())})
            AND prorettype NOT IN ('record'::regtype, 'trigger'::regtype, 'internal'::regtype)
        )
        SELECT DISTINCT ON (kind, name, args) kind, name, args, returned FROM (
          SELECT 'function' AS kind, proname::text AS name, args.types AS args, returned
          FROM called JOIN (TABLE one UNION ALL TABLE two) args
            ON cardinality(args.types) BETWEEN pronargs - pronargdefaults AND pronargs
          UNION ALL
          SELECT 'operator', name, two.types, CASE name WHEN '||' THEN 'text' ELSE 'boolean' END
          FROM two, unnest(ARRAY['=', '<>', '<', '>', '<=', '>=', '~~', '!~~', '~', '!~', '||', '@>', '&&']) name
          UNION ALL
          SELECT 'aggregate', name, one.types,
            CASE name WHEN 'array_agg' THEN one.types[1] || '[]' WHEN 'count' THEN 'bigint' ELSE one.types[1] END
          FROM one, unnest(ARRAY['array_agg', 'count', 'max', 'min']) name
          WHERE name <> 'array_agg' OR one.types[1] NOT LIKE '%[]'
        ) traps
        ORDER BY kind, name, args, returned
      LOOP
        signature := array_to_string(trap.args, ', ');
        -- What pg_catalog has for just these types is taken from there.
        CONTINUE WHEN trap.kind = 'operator' AND to_regoperator(format('pg_catalog.%s(%s)', trap.name, signature)) IS NOT NULL;
        CONTINUE WHEN trap.kind <> 'operator' AND to_regprocedure(format('pg_catalog.%I(%s)', trap.name, signature)) IS NOT NULL;
        id := id + 1;
        INSERT INTO "${schema}".traps VALUES (id, format('%s %s(%s)', trap.kind, trap.name, signature));
        -- An aggregate is run at its end even where there is no row.
        FOREACH taken IN ARRAY CASE trap.kind
          WHEN 'aggregate' THEN ARRAY[trap.returned || ', ' || signature, trap.returned] ELSE ARRAY[signature] END
        LOOP
          EXECUTE format(
            $make$
              CREATE FUNCTION "${schema}".%I(%s) RETURNS %s LANGUAGE plpgsql AS $trap$
              BEGIN
                IF session_user OPERATOR(pg_catalog.=) ANY (ARRAY[${texts(logins)}]::pg_catalog.name[]) THEN
                  PERFORM pg_catalog.setval('"${schema}".sprung', %s);
                END IF;
                RETURN %s;
              END
              $trap$
            $make$,
            CASE trap.kind WHEN 'function' THEN trap.name ELSE format('trap_%s', id) END, taken, trap.returned, id,
            CASE WHEN trap.kind = 'aggregate' THEN '$1'
              WHEN trap.returned = 'boolean' AND cardinality(trap.args) = 2
                THEN '$1::pg_catalog.text OPERATOR(pg_catalog.=) $2::pg_catalog.text'
              WHEN trap.returned = 'void' THEN '' ELSE 'NULL' END);
        END LOOP;
        CASE trap.kind
          WHEN 'operator' THEN
            EXECUTE format('CREATE OPERATOR "${schema}".%s (FUNCTION = "${schema}".trap_%s, LEFTARG = %s, RIGHTARG = %s)',
              trap.name, id, trap.args[1], trap.args[2]);
          WHEN 'aggregate' THEN
            EXECUTE format('CREATE AGGREGATE "${schema}".%I(%s) (SFUNC = "${schema}".trap_%s, STYPE = %s, FINALFUNC = "${schema}".trap_%3$s)',
              trap.name, signature, id, trap.returned);
          ELSE NULL;
        END CASE;
      END LOOP;
    END
    $set$`;
}

/** Asks which was run last; nothing where none was. */
export function sprungIn(schema: string): string {
  return `SELECT name FROM "${schema}".traps JOIN "${schema}".sprung ON is_called AND id OPERATOR(pg_catalog.=) last_value`;
}
