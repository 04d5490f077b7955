import { z } from "zod";
import { object, text } from "./fields";
import { holdsCredentials, isSecretName } from "./secrets";

const ARGUMENTS = "arguments by name, of lowercase letters, digits and _";

const isSecret = ([key, value]: [string, unknown]) =>
  (isSecretName(key) && !/_(files?|path)$/.test(key)) || holdsCredentials(String(value));

/** Where Terraform keeps its state: a backend of its own, with its arguments, none of them a secret. */
export const backend = object("a backend", {
  type: text("a Terraform backend, such as pg or s3")
    .regex(/^[a-z][a-z0-9]*$/, "a Terraform backend, such as pg or s3")
    .describe("Terraform's name for it."),
  arguments: z
    .record(
      z.string().regex(/^[a-z][a-z0-9_]*$/, ARGUMENTS),
      z.union([z.string(), z.number(), z.boolean()], { error: "a text, a number, true or false" }),
      { error: ARGUMENTS },
    )
    .refine(
      (values) => !Object.entries(values).some(isSecret),
      "no secret, which is never written in a config file; Terraform takes a backend's from the environment, such as PG_CONN_STR",
    )
    .refine(
      (values) => Object.values(values).some((value) => String(value).includes("{stack}")),
      "an argument that contains {stack}, such as a key or schema_name, since each stack has a state of its own",
    )
    .meta({
      allowed: ARGUMENTS,
      description:
        "Its arguments, as Terraform documents them. `{environment}` and `{stack}` are replaced; at least one has `{stack}`. None is a secret: Terraform takes these from the environment.",
    }),
}).describe("A Terraform backend.");
