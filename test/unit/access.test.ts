import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compareAccess, changeText } from "../../access/compare";
import { pathsOf } from "../../access/policy-paths";
import { accessManifestSchema, type AccessManifestInput } from "../../manifest/schema";

type Draft = AccessManifestInput;
type Persona = Draft["databases"][number]["personas"][number];

const committed = (environment: string): Draft =>
  JSON.parse(readFileSync(join(__dirname, `../snapshot/access/${environment}.json`), "utf8")) as Draft;

/** What changes where a manifest does. */
function changed(environment: string, change: (draft: Draft) => void): string[] {
  const [before, after] = [committed(environment), committed(environment)];
  change(after);
  const parse = (draft: Draft) => accessManifestSchema.parse(draft);
  return compareAccess(parse(before), parse(after)).map(changeText);
}

const readonly = (draft: Draft): Persona =>
  draft.databases[0]!.personas.find(({ name }) => name === "readonly")!;
const login = (draft: Draft) => readonly(draft).appRole as Record<string, unknown>;

test.each(["approle", "external", "local", "marmelab", "tutorial"])(
  "%s does not differ from itself",
  (name) => {
    expect(changed(name, () => undefined)).toEqual([]);
  },
);

test("names, order, and what is not access make no difference", () => {
  expect(
    changed("local", (draft) => {
      readonly(draft).privileges.tables = [...readonly(draft).privileges.tables].reverse();
      draft.databases[0]!.personas.reverse();
      draft.inputs = [];
      draft.accepted = [{ id: "public:x:y", reason: "a test" }];
      delete draft.databases[0]!.workload;
    }),
  ).toEqual([]);
});

test("privileges, memberships, TTLs, limits", () => {
  expect(
    changed("local", (draft) => {
      const persona = readonly(draft);
      persona.privileges.tables = ["INSERT"];
      persona.privileges.database = ["CONNECT", "TEMPORARY"];
      persona.actsAsOwner = true;
      persona.databaseRole = { ...persona.databaseRole, maxTtl: 172_800, connectionLimit: 5 };
      login(draft)["tokenTtl"] = 90;
    }),
  ).toEqual([
    "+ nanvc, readonly: a lease's maximum TTL is 2 d, up from 1 d (id ttl:nanvc.readonly lease maximum:gained 2 d)",
    "- nanvc, readonly: a leased login's sessions are at most 5, down from 20 (id limit:nanvc.readonly connections:lost 5)",
    "- nanvc, readonly: a token's TTL is 90 s, down from 20 min (id ttl:nanvc.readonly token:lost 90 s)",
    "+ nanvc, readonly: gains INSERT on tables of the schema example (id privilege:nanvc.readonly tables of the schema example:gained INSERT)",
    "+ nanvc, readonly: gains TEMPORARY on the database nanvc (id privilege:nanvc.readonly the database nanvc:gained TEMPORARY)",
    "+ nanvc, readonly: gains membership in example_owner (id membership:nanvc.readonly:gained example_owner)",
    "- nanvc, readonly: loses SELECT on tables of the schema example (id privilege:nanvc.readonly tables of the schema example:lost SELECT)",
  ]);
});

describe("privileges on tables by name", () => {
  const named = (draft: Draft, namedTables: Persona["privileges"]["namedTables"]) => {
    const { privileges } = readonly(draft);
    privileges.tables = [];
    privileges.namedTables = namedTables;
  };
  const users = (columns: Record<string, string[]>, ...privileges: ("SELECT" | "UPDATE")[]) => [
    { name: "users", privileges, columns },
  ];
  const between = (
    before: Persona["privileges"]["namedTables"],
    after: Persona["privileges"]["namedTables"],
  ): string[] => {
    const [one, other] = [committed("local"), committed("local")];
    named(one, before);
    named(other, after);
    return compareAccess(accessManifestSchema.parse(one), accessManifestSchema.parse(other)).map(changeText);
  };

  test("in place of all tables are a loss alone", () => {
    expect(
      changed("local", (draft) => {
        named(draft, users({ SELECT: ["id"] }));
      }),
    ).toEqual([
      "- nanvc, readonly: loses SELECT on tables of the schema example (id privilege:nanvc.readonly tables of the schema example:lost SELECT)",
    ]);
  });

  test("are gained and lost by table and column", () => {
    expect(between(users({ SELECT: ["id", "name"] }), users({ SELECT: ["id", "email"] }, "UPDATE"))).toEqual([
      "+ nanvc, readonly: gains SELECT on email of the table example.users (id privilege:nanvc.readonly tables of the schema example:gained SELECT on email of the table example.users)",
      "+ nanvc, readonly: gains UPDATE on the table example.users (id privilege:nanvc.readonly tables of the schema example:gained UPDATE on the table example.users)",
      "- nanvc, readonly: loses SELECT on name of the table example.users (id privilege:nanvc.readonly tables of the schema example:lost SELECT on name of the table example.users)",
    ]);
  });

  test("on the whole table in place of columns are a gain alone", () => {
    expect(between(users({ SELECT: ["id"] }), users({}, "SELECT"))).toEqual([
      "+ nanvc, readonly: gains SELECT on the table example.users (id privilege:nanvc.readonly tables of the schema example:gained SELECT on the table example.users)",
    ]);
  });
});

test("privileges by schema", () => {
  const lines = changed("local", (draft) => {
    const { privileges } = readonly(draft);
    const none = { schema: [], tables: [], sequences: [], functions: [] };
    draft.databases[0]!.schemas!.push({ name: "billing", owner: "example_owner" });
    privileges.schemas = [{ name: "example", ...none, schema: ["USAGE"] }];
  });
  expect(lines.filter((line) => line.includes("nanvc, readonly"))).toEqual([
    "- nanvc, readonly: loses EXECUTE on functions of the schema example (id privilege:nanvc.readonly functions of the schema example:lost EXECUTE)",
    "- nanvc, readonly: loses SELECT on sequences of the schema example (id privilege:nanvc.readonly sequences of the schema example:lost SELECT)",
    "- nanvc, readonly: loses SELECT on tables of the schema example (id privilege:nanvc.readonly tables of the schema example:lost SELECT)",
  ]);
});

test("a second schema has what a persona has in the first", () => {
  const lines = changed("local", (draft) => {
    draft.databases[0]!.schemas!.push({ name: "billing", owner: "billing_owner" });
  });
  expect(lines.filter((line) => !line.includes("nanvc, "))).toEqual([
    "+ nanvc: gains billing_owner as the owner of the schema billing (id owner:nanvc schema billing:gained billing_owner)",
  ]);
  expect(lines).toContain(
    "+ nanvc, readonly: gains SELECT on tables of the schema billing (id privilege:nanvc.readonly tables of the schema billing:gained SELECT)",
  );
});

test("paths of policies, with the bounds of their rules", () => {
  expect(
    changed("local", (draft) => {
      const [policy] = readonly(draft).policies!;
      policy!.text =
        policy!.text!.replace(/path "sys[^}]*\}\n\n/, "") +
        '\npath "secret/data/shop" {\n  capabilities = ["read", "list"]\n  allowed_parameters = {\n    "version" = []\n  }\n}\n';
    }),
  ).toEqual(
    [
      'list within allowed_parameters = { "version" = [] }',
      'read within allowed_parameters = { "version" = [] }',
    ]
      .map(
        (what) =>
          `+ nanvc, readonly: gains ${what} on the path secret/data/shop (id path:nanvc.readonly secret/data/shop:gained ${what})`,
      )
      .concat(
        "- nanvc, readonly: loses update on the path sys/leases/renew (id path:nanvc.readonly sys/leases/renew:lost update)",
      ),
  );
});

test("a policy that synth has not written is compared by its text, and never passes for nothing", () => {
  const text =
    '# a comment\npath "a" {\n  capabilities = ["read"]\n}\n\npath"secret/*"{ capabilities = ["read"] }\n';
  expect(pathsOf([{ text }, {}])).toEqual([
    { path: "a", capabilities: ["read"] },
    { path: 'path"secret/*"{ capabilities = ["read"] }', capabilities: ["what it says"] },
  ]);
});

test("ways to log in, and from where", () => {
  expect(
    changed("approle", (draft) => {
      const [persona] = draft.databases[0]!.personas;
      persona!.appRole = { ...persona!.appRole!, name: "another", tokenBoundCidrs: ["10.0.0.0/8"] };
      const kept = { name: "nightly", login: "nightly_login", persona: "myapp", rotationPeriod: 86_400 };
      draft.databases[0]!.staticRoles = [kept];
    }).map((line) => line.replace(/ \(id .*/, "")),
  ).toEqual([
    "+ appdb, myapp: gains AppRole another at approle to log in with",
    "+ appdb, myapp: gains login nightly_login to log in with",
    "- appdb, myapp: loses AppRole myapp at approle to log in with",
    "- appdb, myapp: loses any address to use its token from",
  ]);
  const narrowed = (draft: Draft) => (login(draft)["tokenBoundCidrs"] = ["10.0.0.0/8"]);
  expect(changed("local", narrowed)).toEqual([
    "- nanvc, readonly: loses any address to use its token from (id address:nanvc.readonly token:lost any address)",
  ]);
});

test("another condition of a login makes it another login", () => {
  const jwt = (claim: string) => (draft: Draft) => {
    const persona = readonly(draft);
    persona.login = { ...persona.appRole!, kind: "jwt", authMount: "jwt", boundClaims: { sub: claim } };
  };
  const [before, after] = [committed("local"), committed("local")];
  jwt("one")(before);
  jwt("other")(after);
  expect(
    compareAccess(accessManifestSchema.parse(before), accessManifestSchema.parse(after)).map(
      ({ text }) => text,
    ),
  ).toEqual([
    'nanvc, readonly: gains jwt role db-readonly-role at jwt (boundClaims {"sub":"other"}) to log in with',
    'nanvc, readonly: loses jwt role db-readonly-role at jwt (boundClaims {"sub":"one"}) to log in with',
  ]);
});

test("a persona that comes or goes is one line with all that it has; a database has its personas' beside its own", () => {
  const lines = changed("local", (draft) => {
    draft.databases[0]!.personas = draft.databases[0]!.personas.filter(({ name }) => name !== "readonly");
  });
  expect(lines).toEqual([
    expect.stringMatching(
      /^- nanvc, readonly: the persona goes, and with it CONNECT .* \(id persona:nanvc:lost readonly\)$/,
    ),
  ]);
  expect(lines[0]).toContain("SELECT on tables of the schema example; ");
  expect(
    changed("local", (draft) => {
      const [first] = draft.databases;
      draft.databases.push({ ...first!, name: "other", personas: first!.personas.slice(0, 1) });
    }).map((line) => line.slice(0, 45)),
  ).toEqual(
    [
      "+ other, schema-admin: the persona comes, with",
      "+ other: gains CREATEROLE for Vault's own logi",
      "+ other: gains example_owner as the owner of t",
      "+ other: gains nanvc_verify_owner, whose login",
      "+ other: gains nanvc_verify_short, whose login",
      "+ other: gains the mount auth/approle with all",
      "+ other: gains the mount database with all that",
      "+ other: gains vault as Vault's own login (id ",
    ].map((line) => line.slice(0, 45)),
  );
});

test("a mount that becomes the environment's own is the operator's, with all that is in it", () => {
  const exist = (draft: Draft) => {
    draft.databases[0]!.vault.mountExists = true;
    for (const { appRole } of draft.databases[0]!.personas)
      (appRole as Record<string, unknown>)["authMountExists"] = true;
  };
  expect(changed("local", exist)).toEqual([
    "- nanvc: loses the mount auth/approle with all that is in it, for the operator (id mount:nanvc:lost auth/approle)",
    "- nanvc: loses the mount database with all that is in it, for the operator (id mount:nanvc:lost database)",
  ]);
});

test("whose later objects are the personas', and what PUBLIC keeps on a schema", () => {
  const lines = changed("local", (draft) => {
    Object.assign(draft.databases[0]!.schemas![0]!, { creators: ["nightly"], public: ["USAGE"] });
  });
  expect(lines).toEqual([
    "+ nanvc: gains USAGE for PUBLIC on the schema example (id public:nanvc schema example:gained USAGE)",
    "+ nanvc: gains the personas' privileges on what nightly creates in the schema example (id creator:nanvc schema example:gained nightly)",
  ]);
});

test("what PUBLIC has on other databases", () => {
  expect(changed("local", (draft) => (draft.servers![0]!.otherDatabases = "close"))).toEqual([
    "- server postgres: loses CONNECT for PUBLIC on databases that the config does not name (id public:postgres:lost CONNECT)",
  ]);
});

test("nothing in a line is obeyed by a terminal", () => {
  expect(
    changed("local", (draft) => {
      readonly(draft).name = "a\u001b[2J\nb";
    })[0],
  ).toContain("nanvc, a\\u{1b}[2J\\nb: the persona comes");
});

test("what PUBLIC keeps", () => {
  const gained = "gains what PUBLIC has on";
  expect(changed("local", (draft) => (draft.databases[0]!.public = "keep"))).toEqual([
    `+ nanvc: ${gained} functions of the schema example (id public:nanvc schema example functions:gained what it has)`,
    `+ nanvc: ${gained} the database nanvc (id public:database nanvc:gained what it has)`,
    `+ nanvc: ${gained} the schema example (id public:nanvc schema example:gained what it has)`,
  ]);
  const some = {
    database: ["CONNECT"],
    schema: [],
    functions: [],
  } satisfies Draft["databases"][number]["public"];
  expect(changed("local", (draft) => (draft.databases[0]!.public = some))).toEqual([
    "+ nanvc: gains CONNECT for PUBLIC on the database nanvc (id public:database nanvc:gained CONNECT)",
  ]);
});
