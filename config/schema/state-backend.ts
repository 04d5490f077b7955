import { z } from "zod";
import { object, text } from "./fields";
import { holdsCredentials, isSecretName } from "./secrets";

const ARGUMENTS = "arguments by name, of lowercase letters, digits and _";
const VALUE = "a text, a number, true or false, a list, or an object of such arguments";

/** What Terraform takes for an argument, such as s3's `assume_role`, an object. */
export type Argument =
  string | number | boolean | readonly Argument[] | { readonly [name: string]: Argument };

const scalar = z.union([z.string(), z.number(), z.boolean()], { error: VALUE });
const argument: z.ZodType<Argument> = z.lazy(() =>
  z.union([scalar, z.array(argument), argumentsByName], { error: VALUE }),
);
const argumentsByName = z.record(z.string().regex(/^[a-z][a-z0-9_]*$/, ARGUMENTS), argument, {
  error: ARGUMENTS,
});

const isSecret = (name: string, value: Argument): boolean =>
  (isSecretName(name) && !/_(files?|path)$/.test(name)) ||
  (typeof value === "object"
    ? Object.entries(value).some(([key, inner]: [string, Argument]) => isSecret(key, inner))
    : holdsCredentials(String(value)));

const namesTheStack = (value: Argument): boolean => JSON.stringify(value).includes("{stack}");

/** Where Terraform keeps its state: a backend of its own, with its arguments, none of them a secret. */
export const backend = object("a backend", {
  type: text("a Terraform backend, such as pg or s3")
    .regex(/^[a-z][a-z0-9]*$/, "a Terraform backend, such as pg or s3")
    .describe("Terraform's name for it."),
  arguments: argumentsByName
    .refine(
      (values) => !isSecret("", values),
      "no secret, which is never written in a config file; Terraform takes a backend's from the environment, such as PG_CONN_STR",
    )
    .refine(
      namesTheStack,
      "an argument that contains {stack}, such as a key or schema_name, since each stack has a state of its own",
    )
    .meta({
      allowed: ARGUMENTS,
      description:
        "Its arguments, as Terraform documents them, nested ones too. `{environment}` and `{stack}` are replaced; at least one has `{stack}`. None is a secret: Terraform takes these from the environment.",
    }),
}).describe("A Terraform backend.");
