import { mkdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join, relative } from "node:path";
import { isOwn } from "./ownership";
import { SetupError } from "../clients/setup-error";

/**
 * Where programs that were downloaded are kept, for all of a user's sandboxes. A relative XDG_CACHE_HOME does not count
 * (https://specifications.freedesktop.org/basedir-spec/latest/#basics).
 */
export function cacheFolder(): string {
  const named = process.env["XDG_CACHE_HOME"];
  return join(named && isAbsolute(named) ? named : join(homedir(), ".cache"), "leasehold");
}

/** Makes it, or a folder in it, open to nobody else. */
export function makeCacheFolder(folder = cacheFolder()): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
}

/**
 * A sum says what a program is; between a look at it and its start, who may write where it is could put another in its place.
 * @throws SetupError where another user owns or may write the program, the cache folder, or a folder between them
 */
export function checkCached(program: string): void {
  for (let part = program; !relative(cacheFolder(), part).startsWith(".."); part = dirname(part)) {
    if (isOwn(statSync(part))) continue;
    throw new SetupError(
      `${part} belongs to another user or can be changed by others: remove it, and what belongs there is downloaded again, or set XDG_CACHE_HOME to another folder`,
    );
  }
}
