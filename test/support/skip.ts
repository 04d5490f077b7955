import { execFileSync } from "node:child_process";
import { machinesVault } from "../../sandbox/vault-binary";

/** For what can't run everywhere: where there is a reason, it is skipped. `because` ends the name, and the closing lines count it. */
export function unless(reason: string | false | undefined) {
  return {
    test: reason ? test.skip : test,
    describe: reason ? describe.skip : describe,
    because: reason ? ` (skipped: ${reason})` : "",
  };
}

/** As jest reports a test. */
export interface TestTitles {
  readonly ancestorTitles: readonly string[];
  readonly title: string;
}

/** Lines with each reason once, and the number of tests. */
export function skippedBy(tests: readonly TestTitles[]): string[] {
  const counted = new Map<string, number>();
  for (const test of tests) {
    const reason = reasonOf(test) ?? `no reason given: ${test.title}`;
    counted.set(reason, (counted.get(reason) ?? 0) + 1);
  }
  return [...counted].sort().map(([reason, count]) => `  ${String(count).padStart(4)}  ${reason}`);
}

function reasonOf({ ancestorTitles, title }: TestTitles): string | undefined {
  return [...ancestorTitles, title].map((each) => / \(skipped: (.*)\)$/s.exec(each)?.[1]).find(Boolean);
}

export const asRoot = () => unless(process.getuid?.() !== 0 && "only root can");

export const NO_NAMESPACES = "HashiCorp's Vault has namespaces in its Enterprise edition alone";

/** What HashiCorp's Vault has not, or has in its Enterprise edition alone. */
export function onOpenBao(reason: string) {
  const vault = machinesVault();
  // Without one of the machine's it is OpenBao.
  const isOpenBao = !vault || execFileSync(vault.path, ["version"], { encoding: "utf8" }).includes("OpenBao");
  return unless(!isOpenBao && reason);
}
