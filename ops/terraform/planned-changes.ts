import { isDeepStrictEqual } from "node:util";
import { z } from "zod";

const change = z.object({
  /** Terraform's: create, update, delete, forget; a replacement has two of them. */
  actions: z.array(z.string()),
  /** Attributes; null where it goes. What is known after the apply alone is left out, and no write-only password is there. */
  after: z.record(z.string(), z.unknown()).nullish(),
});

/** What a plan would change, by resource. */
export type PlannedChanges = z.output<typeof plannedChangesSchema>;
export const plannedChangesSchema = z.record(z.string(), change);

const plan = z.object({ resource_changes: z.array(z.object({ address: z.string(), change })).default([]) });

/** @param json of `terraform show -json` (https://developer.hashicorp.com/terraform/internals/json-format) */
export function parsePlan(json: string): PlannedChanges {
  const found = plan
    .parse(JSON.parse(json))
    .resource_changes.filter(({ change: { actions } }) =>
      actions.some((action) => action !== "no-op" && action !== "read"),
    )
    .map(({ address, change }) => [address, change] as const);
  return Object.fromEntries(found);
}

/**
 * Addresses of what one plan changes and another does not, or otherwise. What an earlier step has taken into the state is updated
 * where it was to be created.
 */
export function changesBeyond(approved: PlannedChanges, now: PlannedChanges): string[] {
  return Object.entries(now)
    .filter(([address, { actions, after }]) => {
      const was = approved[address];
      if (!was) return true;
      const isApproved = (action: string) =>
        was.actions.includes(action) || (action === "update" && was.actions.includes("create"));
      const isSame = Object.entries(was.after ?? {}).every(
        ([name, value]) => after?.[name] === undefined || isDeepStrictEqual(after[name], value),
      );
      return !(actions.every(isApproved) && isSame);
    })
    .map(([address]) => address)
    .sort();
}
