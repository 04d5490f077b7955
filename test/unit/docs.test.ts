import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DOCUMENTS } from "../../docs/generate/documents";

test.each(Object.entries(DOCUMENTS))("docs/%s is what `npm run docs` makes", (file, make) => {
  expect(readFileSync(join(__dirname, "../../docs", file), "utf8")).toBe(make());
});

test("each property of a construct says what it is, and what happens without it", () => {
  const incomplete = DOCUMENTS["constructs.md"]!()
    .split("\n")
    .filter((line) => line.startsWith("|") && /\|  (?=\|)/.test(line));
  expect(incomplete).toEqual([]);
});
