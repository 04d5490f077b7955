import { writeFileSync } from "node:fs";
import http, { type ClientRequest } from "node:http";
import { Client } from "pg";

/** What a program has spent: written when it ends, to the file that LEASEHOLD_BENCH_CALLS names. Loaded before it. */
export interface Spent {
  /** Requests to Vault, statements and logins to PostgreSQL. */
  readonly calls: number;
  /** While at least one of them was under way, in milliseconds. */
  readonly waiting: number;
  /** From the first one's begin to the last one's end, in milliseconds. */
  readonly span: number;
  /** Of all of them together, in milliseconds: more than `waiting` where they are side by side. */
  readonly latency: number;
  /** The most memory that it had, in KiB. */
  readonly peak: number;
}

const spent = { calls: 0, waiting: 0, span: 0, latency: 0 };
let underWay = 0;
let since = 0;
let first: number | undefined;

function begin(): () => void {
  const start = performance.now();
  first ??= start;
  const begun = first;
  if (underWay === 0) since = start;
  underWay += 1;
  spent.calls += 1;
  return () => {
    const end = performance.now();
    underWay -= 1;
    spent.latency += end - start;
    spent.span = end - begun;
    if (underWay === 0) spent.waiting += end - since;
  };
}

type Method = (...args: unknown[]) => unknown;

/** @param methods that return promises */
function count(methods: Record<string, Method>, name: string): void {
  const method = methods[name]!;
  methods[name] = function (this: unknown, ...args: unknown[]) {
    const end = begin();
    const result = method.apply(this, args);
    (result as Promise<unknown>).then(end, end);
    return result;
  };
}

for (const name of ["connect", "query"]) count(Client.prototype as unknown as Record<string, Method>, name);
const { request } = http;
http.request = ((...args: Parameters<typeof request>): ClientRequest => {
  const made = request(...args);
  made.once("close", begin());
  return made;
}) as typeof request;
process.once("exit", () => {
  const all: Spent = { ...spent, peak: process.resourceUsage().maxRSS };
  writeFileSync(process.env["LEASEHOLD_BENCH_CALLS"]!, JSON.stringify(all));
});
