import { writeFileSync } from "node:fs";
import { Deployment } from "../deployment/deployment";
import { lock } from "../deployment/lock";
import { askSecret } from "../terminal/ask";
import { keysText, prepareVault, vaultTarget } from "../vault/prepare";

export interface InitOptions {
  readonly env?: string;
  readonly json?: string;
  readonly printKeys?: boolean;
  readonly takeOver?: boolean;
}

/** `leasehold init`. Returns the exit code. */
export async function initCommand({ env, ...options }: InitOptions, signal: AbortSignal): Promise<number> {
  const release = lock("init");
  try {
    await init(await Deployment.open(env, signal), signal, options);
  } finally {
    release();
  }
  return 0;
}

async function init(
  deployment: Deployment,
  signal: AbortSignal,
  { json, printKeys, takeOver }: InitOptions,
): Promise<void> {
  const target = vaultTarget(deployment);
  const { did } = await prepareVault(target, {
    takeOver,
    ask: process.stdin.isTTY ? (question) => askSecret(question, signal) : undefined,
    onKeys: printKeys
      ? (keys, threshold) => {
          console.log(keysText(keys, threshold));
        }
      : undefined,
  });
  for (const line of did) console.log(line);
  if (json) {
    const { address } = target.vault;
    writeFileSync(json, `${JSON.stringify({ version: 1, address, did }, undefined, 2)}\n`);
  }
}
