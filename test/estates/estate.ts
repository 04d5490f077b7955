import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A schema as people have it: SQL, the verdict that is right of it, and accesses that are changed by hand. */
export interface Estate {
  readonly name: string;
  readonly database: string;
  readonly schema: string;
  readonly verdict: "green" | "red";
  /** Of a red one: what has to be found. */
  readonly finds: readonly Expected[];
  /** What another session holds meanwhile. */
  readonly held?: string;
  /** For the schema's owner. */
  readonly sql: string;
  readonly faults: readonly Fault[];
}

/** A finding that there has to be. */
export interface Expected {
  /** `-` for the database's own checks. */
  readonly persona: string;
  readonly check: string;
  /** Part of the finding: the object, or the cause. */
  readonly text: string;
}

/** For a superuser, after the estate was verified. */
export interface Fault extends Expected {
  readonly sql: string;
}

const FAULT = /^(.*); -- (\S+) (\S+) (.+)$/;

export function estates(): Estate[] {
  return readdirSync(__dirname)
    .filter((file) => file.endsWith(".sql"))
    .sort()
    .map((file) => parse(file.replace(/\.sql$/, ""), readFileSync(join(__dirname, file), "utf8")));
}

function parse(name: string, text: string): Estate {
  const all = (key: string) =>
    [...text.matchAll(new RegExp(`^-- ${key}: (.*)$`, "gm"))].map(([, value]) => value!);
  const [sql, byHand = ""] = text.split(/^-- changed by hand.*\n/m);
  return {
    name,
    database: all("database")[0]!,
    schema: all("schema")[0]!,
    verdict: all("verdict")[0] === "red" ? "red" : "green",
    finds: all("finds").map((line) => expected(...split(line))),
    held: all("held")[0],
    sql: sql!,
    faults: byHand
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const [, statements, persona, check, what] = FAULT.exec(line)!;
        return { ...expected(persona!, check!, what!), sql: statements! };
      }),
  };
}

function split(line: string): [string, string, string] {
  const [persona, check, ...rest] = line.split(" ");
  return [persona!, check!, rest.join(" ")];
}

function expected(persona: string, check: string, text: string): Expected {
  return { persona, check, text };
}
