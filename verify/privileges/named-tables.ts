import { escapeLiteral as literal } from "pg";
import { privilegesIn } from "../../manifest/privileges";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";

/** Tables and columns with privileges by name that are not there: no row of the matrix can be about them. */
export async function namedTablesExist(
  { owner: catalogs, database: { schemas, personas } }: DatabaseContext,
  check: Check,
): Promise<void> {
  for (const { name: schema } of schemas) {
    const found = await catalogs.read<{ name: string; columns: readonly string[] }>(
      `SELECT relname::text AS name, ARRAY(
         SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND NOT attisdropped
       ) AS columns
       FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
       WHERE nspname = ${literal(schema)} AND relkind IN ('r', 'p', 'v', 'm', 'f')`,
      check,
    );
    for (const persona of personas)
      for (const table of privilegesIn(persona, schema).namedTables) {
        const there = found.find(({ name }) => name === table.name);
        const missing = Object.values(table.columns)
          .flat()
          .filter((column) => !there?.columns.includes(column));
        const what = there ? `columns ${[...new Set(missing)].join(", ")} of the table` : "table";
        if (!there || missing.length > 0)
          check.find(`${persona.name} has privileges on the ${what} ${schema}.${table.name}: there is none`);
      }
  }
}
