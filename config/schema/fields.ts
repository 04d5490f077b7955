import { z } from "zod";
import { Duration } from "../../constructs/duration";
import { isName, type NameRule } from "../../constructs/names";
import { privilegesOn, type ObjectKind } from "../../manifest/object-kinds";

declare module "zod" {
  /** What docs/config.md says of a field beside its description. */
  interface GlobalMeta {
    /** What it may be, where the JSON Schema's type does not tell. */
    allowed?: string;
    /** What happens without it. */
    otherwise?: string;
  }
}

/** What breaks a rule: where, below the object that the rule is about, and what is allowed there instead. */
export interface Breach {
  readonly path: readonly PropertyKey[];
  readonly allowed: string;
}
/** What has to hold between the fields of an object. */
export type Rule<T> = (value: T) => Iterable<Breach>;

/** The schema, with rules that are looked at once each field for itself is allowed. */
export function withRules<Schema extends z.ZodType>(
  schema: Schema,
  rules: readonly Rule<z.output<Schema>>[],
): Schema {
  return schema.superRefine((value, context) => {
    for (const rule of rules)
      for (const { path, allowed } of rule(value))
        context.addIssue({ code: "custom", path: [...path], message: allowed });
  });
}

/** These fields and no others. What it is starts the message where something else is found. */
export function object<Shape extends z.ZodRawShape>(what: string, shape: Shape) {
  const required = Object.entries(shape).filter(([, field]) => !z.safeParse(field, undefined).success);
  return z.strictObject(shape, {
    error: `${what}, an object with ${required.map(([key]) => key).join(", ")}`,
  });
}

export const text = (allowed: string) => z.string({ error: allowed }).meta({ allowed });

export const name = (rule: NameRule) =>
  text(rule.allowed).refine((value) => isName(rule, value), rule.allowed);

/** A mount by its path; one that exists is an object. */
export const mountPath = (rule: NameRule, otherwise: string) =>
  z
    .union([name(rule), object("a mount that exists", { path: name(rule), exists: z.literal(true) })], {
      error: `${rule.allowed}; or { path, exists: true }, of one that exists already`,
    })
    .meta({ allowed: `${rule.allowed}; or \`{ path, exists: true }\`: ${otherwise}` });

/** Both spellings. */
export function mountOf(spelled: z.output<ReturnType<typeof mountPath>>): {
  readonly path: string;
  readonly exists: boolean;
} {
  return typeof spelled === "string" ? { path: spelled, exists: false } : spelled;
}

/** Where the name or path of what may be spelled as one that exists stands. */
export function spelledAt(field: string, spelled: string | object, part: "name" | "path"): string[] {
  return typeof spelled === "string" ? [field] : [field, part];
}

export const duration = (longest: string) => {
  const allowed = `${Duration.FORMAT}, at most ${longest}`;
  return text(allowed).transform((written, context) => {
    const parsed = Duration.parse(written);
    if (parsed && !Duration.parse(longest)!.isShorterThan(parsed)) return parsed;
    context.addIssue({ code: "custom", message: allowed });
    return z.NEVER;
  });
};

/** Vault cuts what is longer, unless it is told otherwise (https://developer.hashicorp.com/vault/docs/configuration#max_lease_ttl). */
export const ttl = duration("768h");

export const integer = (min: number, max: number) => {
  const allowed = `a whole number from ${String(min)} to ${String(max)}`;
  return z.int({ error: allowed }).min(min, allowed).max(max, allowed).meta({ allowed });
};

export const port = integer(1, 65_535);

export const boolean = z.boolean({ error: "true or false" });

export const oneOf = <const Values extends readonly string[]>(...values: Values) =>
  z.enum(values, { error: `one of ${values.join(", ")}` });

export const list = <Item extends z.ZodType>(what: string, item: Item) =>
  z.array(item, { error: `a list of ${what}` });

const IMAGE =
  'an image name with an exact tag or a digest, such as "postgres:18.4" or "postgres:18.4@sha256:…"';
export const image = text(IMAGE)
  .regex(
    /^[a-z0-9][a-z0-9._/-]*(:\d+\/[a-z0-9._/-]+)?(:[A-Za-z0-9_][A-Za-z0-9_.-]*(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$/,
    IMAGE,
  )
  .refine(
    (value) => !value.endsWith(":latest"),
    "an exact tag or a digest, since what latest means can change while a plan shows no change",
  );

const RANGE = 'an address range such as "10.0.0.0/8"';
/** IPv6 as Vault writes it back: what is read has to be what was declared. */
const cidr = z.union([z.cidrv4(), z.cidrv6()], { error: RANGE }).refine((range) => {
  const [address = ""] = range.split("/");
  return !address.includes(":") || new URL(`http://[${address}]`).hostname === `[${address}]`;
}, 'an IPv6 range in its shortest form, in lowercase letters, such as "fd00::/8"');

/** From where a secret id, or a token, may be used. */
export const boundCidrs = list("address ranges", cidr)
  .min(1, "at least one range")
  .optional()
  .meta({ allowed: 'a list of address ranges, such as "10.0.0.0/8"', otherwise: "from anywhere" });

/** One of two spellings, told apart by their look, so that a message is about the one that was meant. */
export function either<First extends z.ZodType, Second extends z.ZodType>(
  isFirst: (value: unknown) => boolean,
  first: First,
  second: Second,
) {
  return z.unknown().transform((value, context) => {
    const result = (isFirst(value) ? first : second).safeParse(value);
    if (result.success) return result.data;
    context.issues.push(
      ...result.error.issues.map((issue) => ({ ...issue, input: value }) as z.core.$ZodRawIssue),
    );
    return z.NEVER;
  }) as unknown as z.ZodType<z.output<First> | z.output<Second>, z.input<First> | z.input<Second>>;
}

/** By the names of things that exist. */
export function byName<Item extends z.ZodType>(what: string, rule: NameRule, item: Item) {
  const key = z.string().refine((value) => isName(rule, value));
  return z.record(key, item, {
    error: ({ code }) => (code === "invalid_key" ? `as a name ${rule.allowed}` : what),
  });
}

/** Once each, in the declared order of the kind, so that the spelling in a config file never shows in a diff. */
export function privileges<Kind extends ObjectKind>(kind: Kind) {
  const all = privilegesOn(kind);
  const names = all.join(", ");
  return z
    .array(z.enum(all, { error: `one of ${names}` }), { error: `a list of ${names}` })
    .readonly()
    .refine((given) => new Set(given).size === given.length, "each privilege once")
    .transform((given) => all.filter((privilege) => (given as readonly string[]).includes(privilege)))
    .meta({ allowed: all.length === 1 ? `${names}, or an empty list` : `a list of any of ${names}` });
}
