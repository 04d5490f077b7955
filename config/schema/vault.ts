import type { z } from "zod";
import { VAULT_AUTH_PATH, VAULT_NAME_PREFIX, VAULT_POLICY_NAME } from "../../constructs/names";
import {
  boolean,
  image,
  integer,
  mountPath,
  name,
  object,
  oneOf,
  port,
  withRules,
  type Breach,
} from "./fields";
import { NO_TLS } from "./server";

const fields = object("the Vault server", {
  container: object("a Vault container", {
    image: image.describe("Vault's image. OpenBao's is configured otherwise: deploy refuses it."),
    hostPort: port.describe("The port of 127.0.0.1 at which it is reached."),
    mode: oneOf("server", "dev")
      .default("server")
      .describe("`dev` starts it initialised and unsealed, for a first look; it keeps nothing."),
    storage: oneOf("memory", "file")
      .default("memory")
      .describe("Whether a restart loses what it holds. `memory` in dev mode."),
    lockMemory: boolean
      .default(false)
      .describe(
        "Locks its memory, which takes root, a writable root file system and the capability IPC_LOCK. Not in dev mode.",
      ),
  })
    .optional()
    .meta({
      description: "A container that `deploy` makes.",
      otherwise: "the server exists already; variables say where",
    }),
  tls: boolean.default(false).describe("Reached with TLS, and its certificate checked. Not for a container."),
  unsealKeys: object("the unseal keys", {
    shares: integer(1, 255).describe("How many unseal keys init makes."),
    threshold: integer(1, 255).describe(
      "How many of them unseal: 1 of 1, else from 2 to the number of `shares`.",
    ),
  })
    .default({ shares: 1, threshold: 1 })
    .describe("How many unseal keys there are, and how many are needed."),
  authMount: mountPath(
    VAULT_AUTH_PATH,
    "one that is mounted already, stays so, and in which others may have AppRoles",
  ).describe("Where the AppRole auth method is mounted, below `auth/`."),
  namePrefix: name(VAULT_NAME_PREFIX).optional().meta({
    description:
      "What the names of this environment's AppRoles and policies start with: the operator may read and delete policies that do, where the auth mount is not one that exists.",
    otherwise:
      "they have any names, the operator's policy each of them, and `init` is run again for a new persona",
  }),
  operatorPolicy: name(VAULT_POLICY_NAME)
    .optional()
    .meta({ description: "The operator's policy.", otherwise: "`leasehold-<environment>-operator`" }),
});

type Vault = z.output<typeof fields>;

function* devModeKeepsNothing({ container }: Vault): Iterable<Breach> {
  if (container?.mode === "dev" && container.storage !== "memory")
    yield { path: ["container", "storage"], allowed: "memory in dev mode" };
}

function* devModeLocksNoMemory({ container }: Vault): Iterable<Breach> {
  if (container?.mode === "dev" && container.lockMemory)
    yield { path: ["container", "lockMemory"], allowed: "false in dev mode, which never locks memory" };
}

function* containerHasNoTls({ container, tls }: Vault): Iterable<Breach> {
  if (container && tls) yield { path: ["tls"], allowed: NO_TLS };
}

/** Vault refuses a threshold of one where there are several shares. */
function* thresholdSuitsShares({ unsealKeys: { shares, threshold } }: Vault): Iterable<Breach> {
  if (threshold <= shares && (threshold > 1 || shares === 1)) return;
  const allowed =
    shares === 1 ? "1, as there is one share" : `from 2 to the number of shares, ${String(shares)}`;
  yield { path: ["unsealKeys", "threshold"], allowed };
}

export const vault = withRules(fields, [
  devModeKeepsNothing,
  devModeLocksNoMemory,
  containerHasNoTls,
  thresholdSuitsShares,
]).describe("The Vault server, which may also be OpenBao.");
