import { printable } from "../clients/text";
import type { AccessManifest, ManifestDatabase, ManifestPersona } from "../manifest/schema";
import {
  databaseAccess,
  personaAccess,
  serverAccess,
  type Access,
  type Bound,
  type Holding,
} from "./holdings";

/** One thing that somebody gains or loses between two manifests. */
export interface AccessChange {
  /** Made of the rule, the object, and what is gained or lost; the same in each run. */
  readonly id: string;
  /** One line, without its id. */
  readonly text: string;
  /** What is gained is a widening. */
  readonly isGain: boolean;
}

/** What is compared of a manifest. */
export type Declared = Pick<AccessManifest, "servers" | "databases">;

/** Who gains and loses what: a line each, sorted, those of one database and persona together. */
export function compareAccess(before: Declared, after: Declared): AccessChange[] {
  const changes = [
    ...pairs(before.servers, after.servers).flatMap(([name, old, now]) =>
      old && now ? differences(`server ${name}`, serverAccess(old), serverAccess(now)) : [],
    ),
    ...pairs(before.databases, after.databases).flatMap(([name, old, now]) =>
      databaseChanges(name, old, now),
    ),
  ];
  return changes.sort((a, b) => compareText(a.text, b.text));
}

/** For people, on one line. */
export function changeText({ id, text, isGain }: AccessChange): string {
  return printable(`${isGain ? "+" : "-"} ${text} (id ${id})`);
}

function databaseChanges(
  name: string,
  before: ManifestDatabase | undefined,
  after: ManifestDatabase | undefined,
): AccessChange[] {
  const personas = pairs(before?.personas ?? [], after?.personas ?? []).flatMap(([persona, old, now]) =>
    personaChanges(name, persona, old && ([before!, old] as const), now && ([after!, now] as const)),
  );
  return [
    ...differences(name, before && databaseAccess(before), after && databaseAccess(after)),
    ...personas,
  ];
}

/** One that comes or goes is one change, with all that it has. */
function personaChanges(
  database: string,
  name: string,
  before: readonly [ManifestDatabase, ManifestPersona] | undefined,
  after: readonly [ManifestDatabase, ManifestPersona] | undefined,
): AccessChange[] {
  if (before && after)
    return differences(`${database}, ${name}`, personaAccess(...before), personaAccess(...after));
  const what = summary(personaAccess(...(after ?? before)!));
  return [
    {
      id: `persona:${database}:${after ? "gained" : "lost"} ${name}`,
      text: `${database}, ${name}: the persona ${after ? "comes, with" : "goes, and with it"} ${what}`,
      isGain: after !== undefined,
    },
  ];
}

function summary({ holdings, bounds }: Access): string {
  const held = holdings.flatMap(({ items, text, all }) => {
    const said = items.filter((item) => item !== all);
    return said.length > 0 ? text(said.join(", ")) : [];
  });
  return [...held, ...bounds.map((bound) => `${bound.text} ${amountText(bound)}`)].join("; ");
}

const NOTHING: Access = { holdings: [], bounds: [] };

function differences(whose: string, before = NOTHING, after = NOTHING): AccessChange[] {
  const holdings = paired(before.holdings, after.holdings).flatMap(([old, now]) => {
    const [had, has] = [old?.items ?? [], now?.items ?? []];
    const { rule, object, text, all, within = () => [] } = (now ?? old)!;
    const isCovered = (by: readonly string[]) => (item: string) =>
      (all !== undefined && by.includes(all)) || within(item).some((wider) => by.includes(wider));
    const gained = missing(has, had).filter((item) => !isCovered(had)(item));
    const lost = missing(had, has).filter((item) => !isCovered(has)(item));
    const change = (isGain: boolean) => (item: string) => ({
      id: `${rule}:${object}:${isGain ? "gained" : "lost"} ${item}`,
      text: `${whose}: ${isGain ? "gains" : "loses"} ${text(item)}`,
      isGain,
    });
    return [...gained.map(change(true)), ...lost.map(change(false))];
  });
  const bounds = paired(before.bounds, after.bounds).flatMap(([old, now]) => {
    // Of another way to log in, or of a version that did not say.
    if (!old || !now || old.amount === now.amount) return [];
    const { rule, object, text } = now;
    const isGain = now.amount > old.amount;
    return {
      id: `${rule}:${object}:${isGain ? "gained" : "lost"} ${amountText(now)}`,
      text: `${whose}: ${text} ${amountText(now)}, ${isGain ? "up" : "down"} from ${amountText(old)}`,
      isGain,
    };
  });
  return [...holdings, ...bounds];
}

const UNITS = [
  ["d", 86_400],
  ["h", 3600],
  ["min", 60],
] as const;

/** In the largest unit that holds it whole. */
function amountText({ amount, unit: of }: Bound): string {
  if (of === "count") return String(amount);
  const [unit, size] = UNITS.find(([, seconds]) => amount % seconds === 0) ?? ["s", 1];
  return `${String(amount / size)} ${unit}`;
}

function missing(items: readonly string[], from: readonly string[]): string[] {
  return items.filter((item) => !from.includes(item));
}

/** What is called the same before and after, in the order of the names. */
function pairs<Item extends { readonly name: string }>(
  before: readonly Item[],
  after: readonly Item[],
): [name: string, old: Item | undefined, now: Item | undefined][] {
  const names = [...new Set([...before, ...after].map(({ name }) => name))];
  return names.map((name) => [
    name,
    before.find((item) => item.name === name),
    after.find((item) => item.name === name),
  ]);
}

function paired<Item extends Holding | Bound>(
  before: readonly Item[],
  after: readonly Item[],
): [old: Item | undefined, now: Item | undefined][] {
  const named = (items: readonly Item[]) =>
    items.map((item) => ({ name: `${item.rule}:${item.object}`, item }));
  return pairs(named(before), named(after)).map(([, old, now]) => [old?.item, now?.item]);
}

/** The same in every locale. */
function compareText(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
