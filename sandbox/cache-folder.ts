import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/**
 * Where programs that were downloaded are kept, for all of a user's sandboxes. A relative XDG_CACHE_HOME does not count
 * (https://specifications.freedesktop.org/basedir-spec/latest/#basics).
 */
export function cacheFolder(): string {
  const named = process.env["XDG_CACHE_HOME"];
  return join(named && isAbsolute(named) ? named : join(homedir(), ".cache"), "leasehold");
}
