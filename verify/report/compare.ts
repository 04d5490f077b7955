import { few } from "../../clients/text";
import { statementsOf, type Mend } from "./mend";
import type { FindingDetails } from "./report";

/** What two sides say of one object, database or path: the catalogs (PostgreSQL's, or Vault's capabilities) and the server. */
export interface Observation {
  /** As the finding's subject, such as `DELETE on example.users`. */
  readonly what: string;
  /** In a finding on several, where it is not the first. @default - the same as `what` */
  readonly short?: string;
  /** Undefined where the catalogs could not be asked. */
  readonly catalogued?: boolean;
  /** What the server did, a statement or request each; undefined where that was neither use nor refusal. */
  readonly exercised: readonly (boolean | undefined)[];
  /** The catalogs' words, where they differ from what the server did. */
  readonly said: string;
  /** It is held by PUBLIC alone, which may keep it: neither declared nor too much. */
  readonly byPublic?: boolean;
  /** Why it is so. */
  readonly causes: readonly string[];
  /** Words of a cause that are about this one alone, such as `table example.users`. @default - none are */
  readonly about?: string;
  /** Statements that would change it. @default - there are none */
  readonly mends?: readonly Mend[];
  /** A statement or a request with its answer. */
  readonly example?: string;
}

/** Undefined where there is nothing to say; otherwise what is not as declared, or what was declared. */
export interface Comparison {
  readonly declared: boolean;
  readonly catalogued?: boolean;
  readonly exercised?: boolean;
  readonly byPublic?: true;
  readonly findings: readonly string[];
  readonly details: readonly FindingDetails[];
}

function differs(
  declared: boolean,
  { catalogued, exercised, byPublic = false }: Omit<Observation, "what" | "said" | "causes">,
): boolean {
  const expected = declared || byPublic;
  return catalogued !== expected || exercised.some((answer) => answer !== expected);
}

/** Compares what is declared with what the catalogs say and what the server did. What differs for the same reason is one finding. */
export function compare(declared: boolean, observations: readonly Observation[]): Comparison {
  const alike = new Map<string, Observation[]>();
  for (const observation of observations.filter((each) => differs(declared, each))) {
    const found = difference(declared, observation, "each");
    alike.set(found, [...(alike.get(found) ?? []), observation]);
  }
  const details = [...alike].map(([found, all]) => detailsOf(declared, found, all));
  return {
    declared,
    catalogued: clearest(
      declared,
      observations.map(({ catalogued }) => catalogued),
    ),
    exercised: clearest(
      declared,
      observations.flatMap(({ exercised }) => exercised),
    ),
    ...(observations.some(({ byPublic }) => byPublic) && { byPublic: true }),
    findings: details.map(({ finding }) => finding),
    details: details.filter(({ objects, mends }) => objects.length + mends.length > 0),
  };
}

/** One finding of those that differ alike: the first few, and all there are where that are more. */
function detailsOf(declared: boolean, found: string, all: readonly Observation[]): FindingDetails {
  const [first, ...more] = all as [Observation, ...Observation[]];
  const { what } = first;
  const names = [what, ...more.map(({ what: whole, short = whole }) => short)];
  const words = all.length === 1 ? difference(declared, first) : found;
  const example = first.example === undefined ? "" : ` (${first.example})`;
  const shown = few(names);
  return {
    finding: `${shown} ${words}${example}`,
    objects: shown === names.join(", ") ? [] : [first.short ?? what, ...names.slice(1)],
    mends: statementsOf(all.flatMap(({ mends = [] }) => mends)),
  };
}

/** The opposite of what is declared, where any answer says so; else what is unclear, else what is declared. */
export function clearest(
  declared: boolean,
  exercised: readonly (boolean | undefined)[],
): boolean | undefined {
  if (exercised.includes(!declared)) return !declared;
  return exercised.every((answer) => answer === declared) && exercised.length > 0 ? declared : undefined;
}

/** @param each what stands for the words that are about one of several alone. @default - they stay */
function difference(
  declared: boolean,
  { catalogued, exercised, said, causes, about }: Observation,
  each?: string,
): string {
  const parts: string[] = [];
  const allowed = clearest(declared, exercised);
  if (exercised.length > 0)
    parts.push(allowed === undefined ? "could not be tried" : allowed ? "is allowed" : "is refused");
  if (catalogued === undefined || catalogued !== allowed) parts.push(said);
  const all = causes.join("; ");
  const told = about === undefined || each === undefined ? all : all.replaceAll(about, each);
  const why = causes.length > 0 ? `: ${told}` : "";
  return `${declared ? "is declared" : "is not declared"} and ${parts.join(", but ")}${why}`;
}

/** The words for what the catalogs of PostgreSQL say. */
export function catalogsSay(held: boolean | undefined): string {
  return held === undefined
    ? "could not be asked of the catalogs"
    : `is ${held ? "held" : "not held"} by the catalogs`;
}
