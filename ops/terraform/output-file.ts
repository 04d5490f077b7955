import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";

/**
 * An unnamed file that a program writes to and this one follows. Unlike a pipe it outlives its reader: where this program is
 * killed, Terraform still finishes and saves its state.
 */
export class OutputFile {
  readonly descriptor: number;
  /** All that was read. */
  text = "";
  private position = 0;
  private readonly decoder = new StringDecoder("utf8");

  constructor() {
    const path = join(tmpdir(), `leasehold-output-${randomBytes(6).toString("hex")}`);
    this.descriptor = openSync(path, "wx+", 0o600);
    rmSync(path);
  }

  /** What was written since the last time. */
  read(): string {
    const buffer = Buffer.alloc(fstatSync(this.descriptor).size - this.position);
    const length = readSync(this.descriptor, buffer, 0, buffer.length, this.position);
    this.position += length;
    const text = this.decoder.write(buffer.subarray(0, length));
    this.text += text;
    return text;
  }

  close(): void {
    closeSync(this.descriptor);
  }
}
