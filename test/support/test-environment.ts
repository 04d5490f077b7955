import { TestEnvironment } from "jest-environment-node";

/** A test file has a `process` of its own: what its programs do when they end, they do when the file ends, whatever has failed. */
export default class extends TestEnvironment {
  override async teardown(): Promise<void> {
    this.global.process.emit("exit", 0);
    await super.teardown();
  }
}
