import { SetupError } from "../../clients/setup-error";
import { Deployment } from "../deployment/deployment";
import { lock } from "../deployment/lock";
import { prepareVault, vaultTarget } from "../vault/prepare";
import { rotateRoot } from "../vault/rotate";

export interface RotateOptions {
  readonly env?: string;
  readonly database?: string;
}

/** `leasehold rotate`. Returns the exit code. */
export async function rotateCommand(
  { env, database: wanted }: RotateOptions,
  signal: AbortSignal,
): Promise<number> {
  const release = lock("rotate");
  try {
    await rotate(await Deployment.open(env, signal), wanted);
  } finally {
    release();
  }
  return 0;
}

async function rotate(deployment: Deployment, wanted: string | undefined): Promise<void> {
  const { manifest } = deployment;
  const names = manifest.databases.map(({ name }) => name);
  if (wanted !== undefined && !names.includes(wanted)) {
    throw new SetupError(
      `--database: received ${JSON.stringify(wanted)}, allowed: one of ${names.join(", ")}`,
    );
  }
  const { operator } = await prepareVault(vaultTarget(deployment));
  const rotated = await rotateRoot(operator, manifest, ({ name }) => name === (wanted ?? name));
  for (const connection of rotated) console.log(`rotated ${connection}: Vault alone knows its password`);
}
