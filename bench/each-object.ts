import { Client } from "pg";

/** The straight-line program beside which verify stands: with a connection from PG*, one call for each object and persona. */
async function main(): Promise<void> {
  const client = new Client({ options: "-c search_path=pg_catalog" });
  await client.connect();
  const found: unknown[] = [];
  const { rows: objects } = await client.query<{ oid: number; kind: string; privilege: string }>(
    `SELECT oid, 'table' AS kind, 'SELECT' AS privilege FROM pg_class
     WHERE relkind = 'r' AND relnamespace = $1::regnamespace
     UNION ALL SELECT oid, 'function', 'EXECUTE' FROM pg_proc WHERE pronamespace = $1::regnamespace`,
    [process.env["SCHEMA"]],
  );
  for (const role of process.env["ROLES"]!.split(","))
    for (const { oid, kind, privilege } of objects) {
      const sql = `SELECT has_${kind}_privilege($1::name, $2::oid, $3)`;
      found.push((await client.query(sql, [role, oid, privilege])).rows);
    }
  await client.end();
  console.log(found.length);
}

void main();
