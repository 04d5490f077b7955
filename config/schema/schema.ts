import type { z } from "zod";
import { environmentFields, type Environment } from "./environment";
import { withRules } from "./fields";
import { ConfigError, messages } from "./messages";
import { RULES } from "./rules";

export { roleOf, schemasOf } from "./database";
export { mounted, serverOf, type DatabaseConfig, type Environment, type ServerConfig } from "./environment";
export { mountOf } from "./fields";
export { loginOf } from "./login";
export { ConfigError } from "./messages";

/** An environment as a file in config/ writes it, with every bound. */
export const environmentSchema = withRules(environmentFields, RULES);

/** What a file in config/ exports. */
export type EnvironmentInput = z.input<typeof environmentSchema>;

/** @throws ConfigError with a line for each error: the field's path, the value received, what is allowed. */
export function parseEnvironment(file: string, input: unknown): Environment {
  const result = environmentSchema.safeParse(input);
  if (result.success) return result.data;
  throw new ConfigError(messages(file, input, result.error.issues));
}
