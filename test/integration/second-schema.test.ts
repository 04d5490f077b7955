import { escapeIdentifier as ident } from "pg";
import { groupRolesOf, ownersOf } from "../../manifest/names";
import { Deployment, findings } from "../support/deployment";

/** A schema that no config can declare yet, made by hand as the stack makes the first: the verifier goes over both. */
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ env: "local" });
  const { superuser, root, manifest } = deployment;
  const [database] = manifest.databases;
  const { owner } = database!;
  database!.schemas.push({ name: "more", owner });
  await superuser.query(`CREATE SCHEMA more AUTHORIZATION ${ident(owner)}`);
  for (const { groupRole, privileges } of database!.personas) {
    const role = ident(groupRole);
    await superuser.query(`GRANT ${privileges.schema.join(", ")} ON SCHEMA more TO ${role}`);
    for (const kind of ["tables", "sequences", "functions"] as const)
      await superuser.query(
        `ALTER DEFAULT PRIVILEGES FOR ROLE ${ident(owner)} IN SCHEMA more GRANT ${privileges[kind].join(", ")} ON ${kind} TO ${role}`,
      );
  }
  for (const role of [...ownersOf(database!), ...groupRolesOf(database!)])
    await superuser.query(`ALTER ROLE ${ident(role)} SET search_path = example, more`);
  for (const name of (await root.call("LIST", "database/roles")).data!["keys"] as string[]) {
    const { data } = await root.call("GET", `database/roles/${name}`);
    const creation = (data!["creation_statements"] as string[]).map((sql) =>
      sql.replace('search_path = "example"', 'search_path = "example", "more"'),
    );
    await root.call("POST", `database/roles/${name}`, { ...data, creation_statements: creation });
  }
});

afterAll(() => deployment.stop());

test("everything holds in both", async () => {
  const report = await deployment.verify();
  expect(findings(report)).toEqual([]);
  expect(report.left).toEqual([]);
  expect(await deployment.probeObjects()).toBe(0);
  const tables = report.databases[0]!.personas[0]!.matrix.find(({ id }) => id === "tables.INSERT")!;
  for (const schema of ["example", "more"])
    expect(tables.evidence.map(({ sent }) => sent)).toContainEqual(
      expect.stringContaining(`INSERT INTO "${schema}".`),
    );
});

test("what differs in the second is found", async () => {
  const { superuser } = deployment;
  const later = "ALTER DEFAULT PRIVILEGES FOR ROLE example_owner IN SCHEMA more";
  await superuser.query(`${later} GRANT TRUNCATE ON TABLES TO readonly_role`);
  await superuser.query("GRANT USAGE ON SCHEMA more TO PUBLIC");
  const lines = findings(await deployment.verify());
  await superuser.query(`${later} REVOKE TRUNCATE ON TABLES FROM readonly_role`);
  await superuser.query("REVOKE USAGE ON SCHEMA more FROM PUBLIC");
  expect(lines).toContainEqual(expect.stringMatching(/^readonly tables\.TRUNCATE: TRUNCATE on "?more"?\./));
  expect(lines).toContainEqual(
    expect.stringMatching(/^ PUBLIC has nothing: .*granted to PUBLIC by example_owner: USAGE on schema more/),
  );
});
