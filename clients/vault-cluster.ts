import { send } from "./http";

/** A node that is up says so at once. */
const TIMEOUT_MILLISECONDS = 5_000;

/** https://developer.hashicorp.com/vault/api-docs/system/leader */
interface Leader {
  readonly ha_enabled?: boolean;
  readonly is_self?: boolean;
  readonly leader_address?: string;
}

/** An address is followed from https to https alone. */
export function isAsEncrypted(address: string, from: string): boolean {
  return address.startsWith(from.startsWith("https:") ? "https://" : "http");
}

/**
 * Where the active node of a cluster is, as the node at an address says.
 * @returns undefined where it knows none; the address itself where it is the active node, or the only one
 * @throws Error with a message of one line where it does not answer, or names a node that can't be asked from here
 */
export async function activeNode(address: string, ca?: string): Promise<string | undefined> {
  const answer = await get(`${address}/v1/sys/leader`, ca);
  // Of a proxy that keeps it to itself, or of a sealed node.
  if (answer.status !== 200) return address;
  const { ha_enabled, is_self, leader_address } = parse(answer.text);
  if (!ha_enabled || is_self) return address;
  if (!leader_address) return undefined;
  const leader = leader_address.replace(/\/+$/, "");
  if (!isAsEncrypted(leader, address)) throw new Error(`${leader} is not encrypted`);
  // It may have ended without the others knowing yet.
  const { status } = await get(`${leader}/v1/sys/health`, ca);
  return status === 200 ? leader : undefined;
}

function get(url: string, ca: string | undefined) {
  return send(url, { method: "GET", ca, timeoutMilliseconds: TIMEOUT_MILLISECONDS });
}

function parse(text: string): Leader {
  try {
    return JSON.parse(text) as Leader;
  } catch {
    return {};
  }
}
