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

/** Why a test was skipped, of its titles. */
export function reasonOf(titles: readonly string[]): string | undefined {
  for (const title of titles) {
    const [, reason] = / \(skipped: (.*)\)$/s.exec(title) ?? [];
    if (reason) return reason;
  }
  return undefined;
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
