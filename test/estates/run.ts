import type { Client } from "pg";
import type { PostgresMajor } from "../../sandbox/postgres-binaries";
import { detailsOf, resultsOf, type Placed, type Report } from "../../verify/report/report";
import { Deployment } from "../support/deployment";
import { environmentOf } from "./environment";
import type { Estate, Expected } from "./estate";

/** One deployment with all of the estates, loaded after the deploy as their schemas' owners. */
export async function deployEstates(
  estates: readonly Estate[],
  postgresMajor: PostgresMajor,
): Promise<Deployment> {
  const deployment = await Deployment.start({ config: environmentOf(estates), postgresMajor });
  for (const database of deployment.manifest.databases) {
    const { name } = database;
    await deployment.superuser.query(`CREATE ROLE ${name}_stranger`);
    const client = await deployment.connect(database);
    for (const { schema, sql } of estates.filter((estate) => estate.database === name))
      await client.query(
        `BEGIN; SET LOCAL ROLE ${name}_owner; SET LOCAL search_path TO ${schema}; ${sql}; COMMIT`,
      );
    await client.end();
  }
  return deployment;
}

/** What other sessions hold, until they are let go of. */
export async function hold(deployment: Deployment, estates: readonly Estate[]): Promise<() => Promise<void>> {
  const clients: Client[] = [];
  for (const { held, database } of estates.filter((estate) => estate.held !== undefined)) {
    const client = await deployment.connect(
      deployment.manifest.databases.find(({ name }) => name === database)!,
    );
    await client.query(`BEGIN; ${held!}`);
    clients.push(client);
  }
  return async () => {
    for (const client of clients) await client.end();
  };
}

/** A finding, with whose and which check it is; all of its objects are in the text. */
export interface Found {
  readonly database: string;
  readonly persona: string;
  readonly check: string;
  readonly text: string;
}

export function foundBy(report: Report): Found[] {
  return resultsOf(report).flatMap((placed) => ofResult(placed));
}

function ofResult({ database, persona = "-", result }: Placed): Found[] {
  return result.findings.map((finding) => {
    const objects = detailsOf(result, finding)?.objects ?? [];
    return {
      ...{ database, persona, check: result.id },
      text: [finding, ...objects].join(" ").replaceAll('"', ""),
    };
  });
}

export function isFoundIn(found: readonly Found[], expected: Expected, database: string): boolean {
  return found.some((each) => each.database === database && isOf(each, expected));
}

/** `tables.*` is any of a kind: which there are is PostgreSQL's matter. */
function isOf(found: Found, { persona, check, text }: Expected): boolean {
  const isCheck = check.endsWith("*") ? found.check.startsWith(check.slice(0, -1)) : found.check === check;
  return found.persona === persona && isCheck && found.text.includes(text.replaceAll('"', ""));
}

/** What a report has on an estate and should not have, and the other way round. */
export function verdictOf(estate: Estate, all: readonly Estate[], report: Report) {
  const found = foundBy(report).filter(({ database }) => database === estate.database);
  const isAbout = (text: string, { schema }: Estate) => new RegExp(`(^|[^\\w.])${schema}\\b`).test(text);
  const others = all.filter(({ database, name }) => database === estate.database && name !== estate.name);
  // What is about no estate at all is everybody's.
  const own = found.filter(
    ({ text }) => isAbout(text, estate) || !others.some((other) => isAbout(text, other)),
  );
  return {
    falseReds: own.filter((each) => !estate.finds.some((expected) => isOf(each, expected))),
    falseGreens: estate.finds.filter((expected) => !isFoundIn(own, expected, estate.database)),
  };
}
