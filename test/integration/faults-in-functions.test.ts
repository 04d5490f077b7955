import { Deployment, findings } from "../support/deployment";

/** What somebody could do by hand with the functions through which Vault leases, or give Vault's login beside them. */
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ env: "external" });
  expect(findings(await deployment.verify())).toEqual([]);
});

afterAll(() => deployment.stop());

const LOGIN = " Vault's own login: attributes, memberships, settings: ";
const FUNCTIONS = " the lease functions are as declared: ";
const RENEW = "leasehold.renew(text, text)";
const REPLACED = `CREATE OR REPLACE FUNCTION leasehold.close(login text) RETURNS void LANGUAGE plpgsql`;
/** Undone by the definition from before. */
const AS_BEFORE = "";

/** By name: statements, what undoes them, and parts of the findings that there have to be, each of another finding. */
const FAULTS: Readonly<Record<string, readonly [fault: string, undo: string, finds: readonly string[]]>> = {
  "a function replaced": [
    `${REPLACED} SECURITY DEFINER AS 'BEGIN END'`,
    AS_BEFORE,
    [
      `${FUNCTIONS}leasehold.close(text) has another body than the declared one: npx leasehold deploy replaces it`,
    ],
  ],
  "a function that runs as its caller": [
    "ALTER FUNCTION leasehold.close(text) SECURITY INVOKER",
    "ALTER FUNCTION leasehold.close(text) SECURITY DEFINER",
    [
      `${FUNCTIONS}leasehold.close(text) must be RETURNS void LANGUAGE plpgsql SECURITY DEFINER VOLATILE, it is RETURNS void LANGUAGE plpgsql VOLATILE`,
    ],
  ],
  "a setting of a function's": [
    "ALTER FUNCTION leasehold.renew(text, text) SET search_path = app",
    "ALTER FUNCTION leasehold.renew(text, text) RESET ALL",
    [
      `${FUNCTIONS}${RENEW} must be RETURNS void LANGUAGE plpgsql SECURITY DEFINER VOLATILE, it is RETURNS void LANGUAGE plpgsql SECURITY DEFINER VOLATILE SET search_path=app`,
    ],
  ],
  "EXECUTE given to PUBLIC": [
    "GRANT EXECUTE ON FUNCTION leasehold.renew(text, text) TO PUBLIC",
    "REVOKE EXECUTE ON FUNCTION leasehold.renew(text, text) FROM PUBLIC",
    [`${FUNCTIONS}not declared: granted to PUBLIC by postgres: EXECUTE on function ${RENEW}`],
  ],
  "EXECUTE given to a persona": [
    "GRANT EXECUTE ON FUNCTION leasehold.renew(text, text) TO app_report",
    "REVOKE EXECUTE ON FUNCTION leasehold.renew(text, text) FROM app_report",
    [`${FUNCTIONS}not declared: granted to app_report by postgres: EXECUTE on function ${RENEW}`],
  ],
  "EXECUTE that Vault's login may pass on": [
    "GRANT EXECUTE ON FUNCTION leasehold.renew(text, text) TO vault WITH GRANT OPTION",
    "REVOKE GRANT OPTION FOR EXECUTE ON FUNCTION leasehold.renew(text, text) FROM vault",
    [
      `${FUNCTIONS}not declared: granted to vault by postgres: EXECUTE on function ${RENEW} WITH GRANT OPTION`,
      `${LOGIN}not declared: granted to vault by postgres: EXECUTE on function ${RENEW} WITH GRANT OPTION`,
    ],
  ],
  "EXECUTE taken from Vault's login": [
    "REVOKE EXECUTE ON FUNCTION leasehold.set_password(text, text) FROM vault",
    "GRANT EXECUTE ON FUNCTION leasehold.set_password(text, text) TO vault",
    [
      `${FUNCTIONS}vault is not granted EXECUTE on function leasehold.set_password(text, text): npx leasehold deploy grants it`,
    ],
  ],
  "USAGE of the schema given to a persona": [
    "GRANT USAGE ON SCHEMA leasehold TO app_report",
    "REVOKE USAGE ON SCHEMA leasehold FROM app_report",
    [`${FUNCTIONS}not declared: granted to app_report by postgres: USAGE on schema leasehold`],
  ],
  "CREATE in the schema given to Vault's login": [
    "GRANT CREATE ON SCHEMA leasehold TO vault",
    "REVOKE CREATE ON SCHEMA leasehold FROM vault",
    [
      `${FUNCTIONS}not declared: granted to vault by postgres: CREATE on schema leasehold`,
      `${LOGIN}not declared: granted to vault by postgres: CREATE on schema leasehold`,
    ],
  ],
  "a function's owner changed": [
    "ALTER FUNCTION leasehold.renew(text, text) OWNER TO app_owner",
    "ALTER FUNCTION leasehold.renew(text, text) OWNER TO postgres",
    [`${FUNCTIONS}${RENEW} must belong to a superuser, it belongs to app_owner`],
  ],
  "the schema's owner changed": [
    "ALTER SCHEMA leasehold OWNER TO app_owner",
    "ALTER SCHEMA leasehold OWNER TO postgres",
    [`${FUNCTIONS}the schema leasehold must belong to a superuser, it belongs to app_owner`],
  ],
  "another function in the schema": [
    "CREATE FUNCTION leasehold.close(login varchar) RETURNS void LANGUAGE sql AS ''",
    "DROP FUNCTION leasehold.close(varchar)",
    [
      `${FUNCTIONS}leasehold.close(character varying), which belongs to postgres, is not declared: DROP FUNCTION leasehold.close(character varying)`,
    ],
  ],
  "Vault's login made CREATEROLE": [
    "ALTER ROLE vault CREATEROLE",
    "ALTER ROLE vault NOCREATEROLE",
    [`${LOGIN}vault has CREATEROLE`],
  ],
  "Vault's login put into a group": [
    "GRANT app_report TO vault",
    "REVOKE app_report FROM vault",
    [`${LOGIN}not declared: membership of vault in app_report, granted by postgres`],
  ],
  "Vault's login with ADMIN OPTION on a group": [
    "GRANT app_report TO vault WITH ADMIN OPTION",
    "REVOKE app_report FROM vault",
    [`${LOGIN}not declared: membership of vault in app_report, granted by postgres WITH ADMIN OPTION`],
  ],
  "Vault's login put into the owner": [
    "GRANT app_owner TO vault",
    "REVOKE app_owner FROM vault",
    [`${LOGIN}not declared: membership of vault in app_owner, granted by postgres`],
  ],
};

const SELECTION = { only: ["vault-login", "lease-functions"] };

test.each(Object.entries(FAULTS))("%s is found", async (_, [fault, undo, finds]) => {
  const { superuser } = deployment;
  const { rows } = await superuser.query<{ definition: string }>(
    "SELECT pg_get_functiondef('leasehold.close(text)'::regprocedure) AS definition",
  );
  await superuser.query(fault);
  try {
    const lines = findings(await deployment.verify({ selection: SELECTION }));
    for (const finding of finds) expect(lines).toContainEqual(expect.stringContaining(finding));
  } finally {
    await superuser.query(undo || rows[0]!.definition);
  }
});

test("a function that is gone is found before anything is leased", async () => {
  const { superuser } = deployment;
  await superuser.query("ALTER FUNCTION leasehold.renew(text, text) RENAME TO renewed");
  try {
    expect(findings(await deployment.verify({ selection: SELECTION }))).toContainEqual(
      expect.stringContaining(`${FUNCTIONS}${RENEW} does not exist, without which Vault can't lease`),
    );
  } finally {
    await superuser.query("ALTER FUNCTION leasehold.renewed(text, text) RENAME TO renew");
  }
});

test("with all of it undone, everything holds", async () => {
  expect(findings(await deployment.verify())).toEqual([]);
});
