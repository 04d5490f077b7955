/** @type {import("jest").Config} */
module.exports = {
  testEnvironment: "node",
  transform: { "^.+\\.ts$": ["@swc/jest", { jsc: { target: "es2022", parser: { syntax: "typescript" } } }] },
  testMatch: ["<rootDir>/test/{unit,snapshot,integration}/**/*.test.ts"],
  // Real servers start and stop; a bound, not an expectation.
  testTimeout: 120_000,
  maxWorkers: 2,
  // A test that failed half-way may leave a server open; the next workspace clears it.
  forceExit: true,
};
