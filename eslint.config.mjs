import tseslint from "typescript-eslint";

/** Imports point one way: main → stacks → constructs; verify and sandbox read what was synthesized. */
const only = (files, ...forbidden) => ({
  files,
  rules: {
    "no-restricted-imports": [
      "error",
      { patterns: forbidden.map((folder) => ({ group: [`**/${folder}/**`] })) },
    ],
  },
});

export default tseslint.config(
  { ignores: ["node_modules", "cdktf.out", ".sandbox", "**/*.mjs", "**/*.js"] },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // `!` stands where the line before or a schema says so; a check there could never fail.
      "@typescript-eslint/no-non-null-assertion": "off",
      // process.env["NAME"], as noPropertyAccessFromIndexSignature would want it.
      "@typescript-eslint/dot-notation": "off",
      // An empty environment variable counts as none.
      "@typescript-eslint/prefer-nullish-coalescing": ["error", { ignorePrimitives: { string: true } }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
    },
  },
  // The ground imports nothing of the project.
  only(
    ["manifest/**"],
    "access",
    "clients",
    "constructs",
    "stacks",
    "config",
    "verify",
    "sandbox",
    "ops",
    "examples",
  ),
  only(
    ["clients/**"],
    "access",
    "manifest",
    "constructs",
    "stacks",
    "config",
    "verify",
    "sandbox",
    "ops",
    "examples",
  ),
  only(["constructs/**"], "stacks", "config", "verify", "sandbox", "ops"),
  only(["stacks/**"], "sandbox", "ops"),
  only(["access/**"], "constructs", "stacks", "config", "verify", "sandbox", "ops", "examples"),
  only(["verify/**"], "constructs", "stacks", "config", "sandbox", "ops", "examples"),
  only(["sandbox/**"], "constructs", "stacks", "config", "ops"),
  // Somebody else's program: it knows Vault and PostgreSQL alone.
  only(["examples/**"], "constructs", "stacks", "config", "verify", "sandbox", "ops"),
  {
    files: ["test/**"],
    ignores: ["test/support/synth.ts"],
    rules: {
      "no-restricted-properties": [
        "error",
        { object: "Testing", property: "app", message: "It leaves a folder; take testApp of test/support." },
      ],
    },
  },
  {
    files: ["constructs/**", "stacks/**"],
    rules: { "no-restricted-properties": ["error", { object: "process", property: "env" }] },
  },
);
