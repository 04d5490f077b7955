import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { Checkout } from "../../bench/checkout";
import { pathText } from "../../config/schema/messages";
import { ConfigError, parseEnvironment } from "../../config/schema/schema";
import { synthesizeApp } from "../../stacks/app";
import { temporaryFolder } from "../support/folder";
import {
  conflictOf,
  drawn,
  faultsOf,
  goodConfig,
  withFaults,
  type Fields,
} from "../support/generated-configs";
import { messages, Program } from "../support/program";

/** The same configs in each run; fast-check's report of a failure says which one it was. */
const SEED = 20_261_125;
const SECRET = "hunter2-4f9c1b7e";

const LINE =
  /^config\/bad\.ts: .+: (received .+, allowed: .+|no such field|a secret is never written in a config file; .+)$/;

/** The lines with which a config is refused. */
function refusal(config: unknown): readonly string[] {
  try {
    parseEnvironment("config/bad.ts", config);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split("\n");
    throw error;
  }
  throw new Error("it was taken");
}

/** A config, and what of it is changed to what is not allowed. */
const badConfig = drawn((g) => {
  const config = goodConfig(g);
  const faults = g(fc.nat, { max: 3 }) === 0 ? [conflictOf(g, config)] : faultsOf(g, config, SECRET);
  return { config, faults };
});

test("a config that is not allowed is told in lines: where, what, what is allowed; no secret, nothing for a terminal", () => {
  fc.assert(
    fc.property(badConfig, ({ config, faults }) => {
      const bad = withFaults(config, faults);
      const lines = refusal(bad);
      for (const line of lines) {
        expect(line).toMatch(LINE);
        expect(line).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u);
        expect(line).not.toContain(SECRET);
        // The words of zod itself.
        expect(line).not.toMatch(/Invalid|expected/i);
      }
      for (const { path } of faults) {
        if (path.some((part) => !/^\w+$/.test(String(part)))) continue;
        expect(lines).toContainEqual(expect.stringContaining(`: ${pathText(path, bad)}`));
      }
    }),
    { seed: SEED, numRuns: 1000 },
  );
});

/** The same with the fields of each object in another order. */
function reordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reordered);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, reordered(item)]),
  );
}

/** Each file that a config is synthesized to. */
function synthesized(config: unknown): Map<string, string> {
  const { folder, remove } = temporaryFolder();
  try {
    synthesizeApp(parseEnvironment("config/good.ts", config), folder);
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    return new Map(
      files.map(({ parentPath, name }) => {
        const file = join(parentPath, name);
        return [file.slice(folder.length), readFileSync(file, "utf8")];
      }),
    );
  } finally {
    remove();
  }
}

test("a config that is allowed synthesizes to the same bytes, in whichever order its fields are written", () => {
  jest.spyOn(console, "warn").mockImplementation();
  fc.assert(
    fc.property(drawn(goodConfig), (config) => {
      const files = synthesized(config);
      expect(files.has("/stacks/vault/cdk.tf.json")).toBe(true);
      expect(synthesized(reordered(config))).toEqual(files);
      const { name, backend } = config as { name: string; backend?: { type: string; arguments: Fields } };
      if (!backend) return;
      // Terraform takes a backend's arguments literally, `${` and all.
      for (const stack of ["postgres", "vault"]) {
        const json = JSON.parse(files.get(`/stacks/${stack}/cdk.tf.json`)!) as { terraform: Fields };
        const wanted = Object.entries(backend.arguments).map(([key, value]) => [
          key,
          typeof value === "string"
            ? value.split("{stack}").join(stack).split("{environment}").join(name)
            : value,
        ]);
        expect(json.terraform["backend"]).toEqual({ [backend.type]: Object.fromEntries(wanted) as Fields });
      }
    }),
    { seed: SEED, numRuns: 25 },
  );
});

test("the programs end with exit code 2, the lines on stderr and nothing else, nowhere", async () => {
  const checkout = new Checkout("bad");
  const { folder } = checkout;
  const bad = fc.sample(
    drawn((g) => {
      const config = goodConfig(g);
      return withFaults(config, [conflictOf(g, config), { path: ["servers", 0, "password"], value: SECRET }]);
    }),
    { seed: SEED, numRuns: 4 },
  );
  bad.forEach((config, i) => {
    writeFileSync(join(folder, `config/bad_${String(i)}.ts`), `export default ${JSON.stringify(config)};`);
  });
  const before = readdirSync(folder);
  for (const [i, [main, ...args]] of [
    ["main.ts"],
    ["cli.ts", "env"],
    ["cli.ts", "start"],
    ["cli.ts", "deploy"],
  ].entries()) {
    const env = { LEASEHOLD_ENV: `bad_${String(i)}`, XDG_CONFIG_HOME: join(folder, "home") };
    const program = new Program(args, env, folder, main);
    const lines = refusal(bad[i]).map((line) => line.replace("bad.ts", `bad_${String(i)}.ts`));
    expect(lines).toContainEqual(
      expect.stringMatching(/: servers\[0\] \(\w+\)\.password: a secret is never written/),
    );
    expect({ code: await program.ended, errors: messages(program.errors) }).toEqual({
      code: 2,
      errors: lines,
    });
    expect(messages(program.output)).toEqual(lines);
  }
  expect(readdirSync(folder)).toEqual(before);
  expect(existsSync(join(folder, "cdktf.out"))).toBe(false);
  checkout.remove();
});

test.each<[string, string, string[]]>([
  [
    "a syntax error",
    'const shop = {\n  name: "shop",\n  servers [],\n};\nexport default shop;\n',
    ['config/shop.ts:3:11: Expected "}" but found "["'],
  ],
  [
    "a syntax error in what it imports",
    'import "./schema/parts";\nexport default {};\n',
    ['config/schema/parts.ts:1:7: Expected identifier but found "="'],
  ],
  [
    "an import that is not there",
    'import { parts } from "./parts";\nexport default parts;\n',
    ["config/shop.ts: can't be loaded: Cannot find module './parts'"],
  ],
  [
    "an exception",
    "const none = undefined as any;\nexport default { name: none.name };\n",
    ["config/shop.ts:2:29: can't be loaded: Cannot read properties of undefined (reading 'name')"],
  ],
  ["an exception that is no error", 'throw "a\\nb";\n', ["config/shop.ts: can't be loaded: a"]],
  [
    "no default export",
    'export const shop = { name: "shop" };\n',
    [
      "config/shop.ts: (whole file): received nothing, allowed: an environment as the default export, an object with name, servers, vault, databases, verification",
    ],
  ],
])("a file with %s is told with line and column, where there are any", async (_, text, lines) => {
  const checkout = new Checkout("shop");
  writeFileSync(checkout.path("config/schema/parts.ts"), "const = 1;\n");
  writeFileSync(checkout.path("config/shop.ts"), text);
  const program = new Program([], { LEASEHOLD_ENV: "shop" }, checkout.folder, "main.ts");
  expect({ code: await program.ended, errors: messages(program.errors) }).toEqual({ code: 2, errors: lines });
  checkout.remove();
});

test.each([
  [
    "what a construct refuses is one line",
    'throw new DeclarationError("server name (\\"x y\\") must be another");',
    /^server name \("x y"\) must be another$/,
  ],
  [
    "a bug of ours keeps its stack",
    "(undefined as unknown as App).synth();",
    /^TypeError: Cannot read properties of undefined .*\n +at synthesizeApp \(.*stacks\/app\.ts:\d+:\d+\)\n/s,
  ],
])("%s", async (_, statement, expected) => {
  const checkout = new Checkout("local");
  const app = checkout.path("stacks/app.ts");
  writeFileSync(app, readFileSync(app, "utf8").replace("    app.synth();", statement));
  const program = new Program([], {}, checkout.folder, "main.ts");
  expect(await program.ended).toBe(2);
  expect(program.errors.trimEnd()).toMatch(expected);
  checkout.remove();
});
