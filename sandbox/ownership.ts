import type { Stats } from "node:fs";

/**
 * Whether a file, or what a folder has in it, is out of the reach of other users. Root is not counted as one, nor are those
 * of a user's own group, which has the same number by the convention of most systems.
 */
export function isOwn({ uid, gid, mode }: Stats): boolean {
  const user = process.getuid?.();
  return (
    user === undefined ||
    ((uid === user || uid === 0) && (mode & 0o002) === 0 && ((mode & 0o020) === 0 || gid === uid))
  );
}
