import { escapeIdentifier, type Client } from "pg";
import { SetupError } from "../../clients/setup-error";
import { printable } from "../../clients/text";
import { LEASE_FUNCTIONS, LEASE_SCHEMA, leaseMark } from "../../manifest/names";
import type { ManifestDatabase } from "../../manifest/schema";
import type { Deployment, SuperuserLogin } from "../deployment/deployment";
import { findResource } from "./leftover";
import { asSuperuser } from "./superuser";

/**
 * Has Terraform take the functions that are there and not in its state, which it would fail to make: a switch away from them, or a
 * deploy that made them, was stopped before its end, and Vault may call them. For right before the stack postgres makes them.
 * @returns what was done, a line each
 */
export async function adoptFunctions(deployment: Deployment, database: ManifestDatabase): Promise<string[]> {
  const stack = deployment.stack("postgres")!;
  const unknown = (await declaredFunctions(deployment, database)).filter(({ isKnown }) => !isKnown);
  if (unknown.length === 0) return [];
  const found = await asSuperuser(deployment.superuserOf(database), functionsThere, database.name);
  const did: string[] = [];
  for (const { name, signature, mark } of found ?? []) {
    const { address } = unknown.find((each) => each.name === name) ?? {};
    if (address === undefined || mark !== markOf(deployment, database)) continue;
    deployment.restore(stack);
    await deployment.terraform(stack, undefined).import(address, `${database.name}.${signature}`);
    did.push(`taking back the function ${signature}, which a deploy that did not come to its end has left`);
  }
  return did;
}

/** Those that the stack postgres declares in a database, and whether Terraform has made them. */
async function declaredFunctions(
  deployment: Deployment,
  database: ManifestDatabase,
): Promise<{ address: string; name: string; isKnown: boolean }[]> {
  const stack = deployment.stack("postgres")!;
  const made = (await deployment.state(stack)).map(({ address }) => address);
  return Object.entries(stack.json.resource["postgresql_function"] ?? {})
    .filter(
      ([, { database: on, provider }]) =>
        on === database.name && deployment.serverOf(provider) === database.server,
    )
    .map(([id, { name }]) => ({ address: `postgresql_function.${id}`, name: String(name) }))
    .map((declared) => ({ ...declared, isKnown: made.includes(declared.address) }));
}

/** The lease functions, with their schema and arguments as PostgreSQL takes them. */
const FUNCTIONS = Object.entries(LEASE_FUNCTIONS).map(([name, args]) => ({
  name,
  signature: `${LEASE_SCHEMA}.${name}(${args.map(() => "text").join(",")})`,
}));

/** Those that are there and run as the superuser, each with the mark of its body: another environment may lease in the database. */
async function functionsThere(client: Client): Promise<{ name: string; signature: string; mark: string }[]> {
  const { rows } = await client.query<{ signature: string; mark: string | null }>(
    `SELECT signature, substring(prosrc FROM $$'(leasehold [^']+)'$$) AS mark
     FROM unnest($1::text[]) AS signature JOIN pg_proc p ON p.oid = to_regprocedure(signature)
     WHERE pg_get_userbyid(proowner) = current_user`,
    [FUNCTIONS.map(({ signature }) => signature)],
  );
  return FUNCTIONS.flatMap((known) =>
    rows
      .filter(({ signature }) => signature === known.signature)
      .map(({ mark }) => ({ ...known, mark: mark ?? "" })),
  );
}

const markOf = ({ manifest }: Deployment, { name }: ManifestDatabase) =>
  leaseMark(manifest.environment, name);

/**
 * Drops the functions, once Vault no longer calls them, and their schema, unless something else is in it.
 * @returns what was done, a line each
 */
export async function dropFunctions(deployment: Deployment, database: ManifestDatabase): Promise<string[]> {
  const did = await asSuperuser(
    deployment.superuserOf(database),
    async (client) => {
      const there = await functionsThere(client);
      const ours = there.filter(({ mark }) => mark === markOf(deployment, database));
      if (ours.length === 0) return [];
      // One transaction: a schema without its functions is nobody's any more.
      const dropped = `DROP FUNCTION ${ours.map(({ signature }) => signature).join(", ")}`;
      await client.query(
        [dropped, ...(await dropSchemaText(client, database, there.length > ours.length))].join("; "),
      );
      return [`dropped the functions of the schema ${LEASE_SCHEMA}, which Vault no longer calls`];
    },
    database.name,
  );
  return did ?? [];
}

/**
 * Drops the schema of a deploy that has come to make no function in it, where leases are made without them now. For right before
 * the stack postgres forgets it.
 * @returns nothing that is worth a line
 */
export async function dropEmptySchema(deployment: Deployment, database: ManifestDatabase): Promise<string[]> {
  const state = await deployment.state(deployment.stack("postgres")!);
  if (findResource(state, "postgresql_schema", { name: LEASE_SCHEMA, database: database.name }))
    await asSuperuser(
      deployment.superuserOf(database),
      async (client) => {
        const isUsed = (await functionsThere(client)).length > 0;
        for (const text of await dropSchemaText(client, database, isUsed)) await client.query(text);
      },
      database.name,
    );
  return [];
}

/**
 * Unless it is declared, somebody else's, or something is in it, such as the record of what deploy took: then Vault's login loses it.
 * @param isUsed has functions of another environment's, whose login may have the same name
 */
async function dropSchemaText(
  client: Client,
  database: ManifestDatabase,
  isUsed: boolean,
): Promise<string[]> {
  const { manager } = database;
  const { rows } = await client.query<{ uses: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $3) AS uses FROM pg_namespace
     WHERE nspname = $1 AND pg_get_userbyid(nspowner) = current_user AND nspname <> ALL ($2)`,
    [LEASE_SCHEMA, database.schemas.map(({ name }) => name), manager],
  );
  if (rows.length === 0) return [];
  return [
    ...(manager !== undefined && rows[0]!.uses && !isUsed
      ? [`REVOKE ALL ON SCHEMA ${LEASE_SCHEMA} FROM ${escapeIdentifier(manager)}`]
      : []),
    `DO $$ BEGIN DROP SCHEMA ${LEASE_SCHEMA}; EXCEPTION WHEN dependent_objects_still_exist THEN NULL; END $$`,
  ];
}

/**
 * Whoever owns the schema or a function there could replace what Vault's login calls; and another environment's Vault calls those
 * that it has made. For before the stack postgres writes them.
 * @returns nothing that was done
 * @throws SetupError
 */
export async function checkLeaseSchema(
  deployment: Deployment,
  database: ManifestDatabase,
): Promise<string[]> {
  const login = deployment.superuserOf(database);
  const known = (await declaredFunctions(deployment, database))
    .filter(({ isKnown }) => isKnown)
    .map(({ name }) => name);
  await asSuperuser(
    login,
    async (client) => {
      await checkLeaseOwners(client, login, database);
      const other = (await functionsThere(client)).find(
        // One whose body was replaced by hand has no mark, and Terraform replaces it.
        ({ name, mark }) => mark !== markOf(deployment, database) && !(mark === "" && known.includes(name)),
      );
      if (other)
        throw new SetupError(
          `the function ${other.signature} in the database ${printable(database.name)} is not this environment's (its mark is ${printable(other.mark) || "none"}), and another Vault may lease by it: have one of the two lease otherwise (leases: "createrole"), or drop it if nobody calls it`,
        );
    },
    database.name,
  );
  return [];
}

/**
 * Checks it again, since somebody may have been faster than Terraform, and takes what the superuser's default privileges have
 * given others there: whoever may create in that schema could have Vault's login call a function of theirs. For before Vault does.
 * @returns what was done, a line each
 * @throws SetupError
 */
export async function closeLeaseSchema(
  deployment: Deployment,
  database: ManifestDatabase,
): Promise<string[]> {
  const login = deployment.superuserOf(database);
  const did = await asSuperuser(
    login,
    async (client) => {
      await checkLeaseOwners(client, login, database);
      const { rows } = await client.query<{ object: string; grantee: string }>(
        `WITH granted AS (
           SELECT format('SCHEMA %I', nspname) AS object, (aclexplode(nspacl)).grantee
             FROM pg_namespace WHERE nspname = $1
           UNION
           SELECT format('ROUTINE %s', p.oid::regprocedure), (aclexplode(proacl)).grantee
             FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = $1
         )
         SELECT object, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee
         FROM granted WHERE pg_get_userbyid(grantee) NOT IN (current_user, $2) ORDER BY 1, 2`,
        [LEASE_SCHEMA, database.manager ?? ""],
      );
      for (const { object, grantee } of rows)
        await client.query(`REVOKE ALL ON ${object} FROM ${grantee} CASCADE`);
      return rows.map(
        ({ object, grantee }) =>
          `took from ${printable(grantee)} what it had on ${printable(object)}, which is for Vault's login alone`,
      );
    },
    database.name,
  );
  return did ?? [];
}

/** @throws SetupError */
async function checkLeaseOwners(
  client: Client,
  { user }: SuperuserLogin,
  database: ManifestDatabase,
): Promise<void> {
  const { rows } = await client.query<{ owner: string; object: string }>(
    `SELECT pg_get_userbyid(nspowner) AS owner, 'the schema ' || nspname AS object
       FROM pg_namespace WHERE nspname = $1 AND pg_get_userbyid(nspowner) <> current_user
     UNION ALL
     SELECT pg_get_userbyid(proowner), 'the function ' || p.oid::regprocedure
       FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
       WHERE nspname = $1 AND pg_get_userbyid(proowner) <> current_user
     LIMIT 1`,
    [LEASE_SCHEMA],
  );
  const [found] = rows;
  if (found)
    throw new SetupError(
      `${printable(found.object)} in the database ${printable(database.name)} belongs to ${printable(found.owner)}, and what Vault's login is to call there is run as ${printable(user)}: drop it or rename it, then run the command again`,
    );
}
