/** A statement that would mend a finding. What is alike but for the object is one statement of several objects. */
export type Mend = string | MendOfObject;

export interface MendOfObject {
  /** Such as `GRANT SELECT ON TABLE`. */
  readonly before: string;
  /** Quoted and qualified. */
  readonly object: string;
  /** Such as `TO "readonly"`. */
  readonly after: string;
}

/** A statement of several objects is a line that can be read. */
export const LONGEST_STATEMENT = 200;

/** Each statement once, as SQL without the semicolon at its end. */
export function statementsOf(mends: readonly Mend[]): string[] {
  const alike = new Map<string, MendOfObject[]>();
  for (const mend of mends) {
    const key = typeof mend === "string" ? mend : JSON.stringify([mend.before, mend.after]);
    const same = alike.get(key) ?? [];
    if (typeof mend !== "string") same.push(mend);
    alike.set(key, same);
  }
  return [...alike].flatMap(([statement, same]) => (same.length === 0 ? statement : together(same)));
}

function together(mends: readonly MendOfObject[]): string[] {
  const { before, after } = mends[0]!;
  const lists: string[] = [];
  for (const object of new Set(mends.map((mend) => mend.object))) {
    const list = lists.length === 0 ? object : `${lists.at(-1)!}, ${object}`;
    const fits = `${before} ${list} ${after}`.length <= LONGEST_STATEMENT;
    if (fits && lists.length > 0) lists.pop();
    lists.push(fits ? list : object);
  }
  return lists.map((list) => `${before} ${list} ${after}`);
}
