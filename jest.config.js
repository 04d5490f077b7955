// ESM that a test's Node can't require: it is compiled as our own TypeScript is.
const ESM =
  "execa|get-stream|human-signals|is-stream|mimic-fn|npm-run-path|onetime|path-key|strip-final-newline|string-width|strip-ansi|ansi-regex|emoji-regex|get-east-asian-width";

/** @type {import("jest").Config} */
module.exports = {
  testEnvironment: "<rootDir>/test/support/test-environment.ts",
  transform: {
    "^.+\\.(ts|js)$": ["@swc/jest", { jsc: { target: "es2022", parser: { syntax: "typescript" } } }],
  },
  transformIgnorePatterns: [`/node_modules/(?!(.*/node_modules/)?(${ESM})/)`],
  testMatch: ["<rootDir>/test/{unit,snapshot,integration}/**/*.test.ts"],
  // Real servers start and stop; a bound, not an expectation.
  testTimeout: 120_000,
  maxWorkers: 2,
};
