import { setImmediate as tick } from "node:timers/promises";
import { Turns } from "../../verify/turns";

/** Who has a turn, once all that can have one do. */
async function started(turns: Turns, servers: readonly string[]) {
  const ends: (() => void)[] = [];
  for (const server of servers) void turns.take(server).then((end) => ends.push(end));
  await tick();
  return ends;
}

test("one at a time on a server, until it is known what it has room for; four in all", async () => {
  const turns = new Turns();
  const ends = await started(turns, ["a", "a", "a", "a", "a", "a"]);
  expect(ends).toHaveLength(1);
  turns.allow("a", 45);
  await tick();
  expect(ends).toHaveLength(3);
  turns.allow("a", 1000);
  await tick();
  expect(ends).toHaveLength(4);
  ends[0]!();
  await tick();
  expect(ends).toHaveLength(5);
});

test("a server that is nearly full takes one after the other", async () => {
  const turns = new Turns();
  turns.allow("a", 3);
  const ends = await started(turns, ["a", "a", "b"]);
  expect(ends).toHaveLength(2);
  ends[0]!();
  await tick();
  expect(ends).toHaveLength(3);
});
