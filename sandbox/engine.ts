import { ZodError, type z } from "zod";
import {
  ApplyError,
  inDependencyOrder,
  interpolate,
  type Configuration,
  type Json,
  type JsonObject,
} from "./terraform-json";

/** Applies resources of one provider. */
export interface Provider {
  readonly handlers: Readonly<Record<string, Handler>>;
  close(): Promise<void>;
}

export interface Handler {
  /** Parses attributes, every one of which it must know. */
  readonly schema: z.ZodType;
  readonly plan: (attributes: never) => Planned;
}

/** What a resource comes to, before anything is changed. */
export interface Planned {
  /** What references can name beside the attributes. */
  readonly computed: JsonObject;
  readonly apply: () => Promise<unknown>;
}

/** Makes a handler whose plan gets what its schema gives. */
export function handler<Schema extends z.ZodType>(
  schema: Schema,
  plan: (attributes: z.output<Schema>) => Planned,
): Handler {
  return { schema, plan };
}

export type ProviderFactory = (settings: JsonObject) => Provider;

/**
 * Applies a configuration to servers that hold nothing of it yet: one resource after the other in dependency order.
 * There is no state and no update.
 * @throws ApplyError that names the resource, and what about it is not known or was refused
 */
export async function apply(
  configuration: Configuration,
  variables: Readonly<Record<string, Json>>,
  factories: Readonly<Record<string, ProviderFactory>>,
): Promise<number> {
  const planned = new Map<string, JsonObject>();
  const providers = new Map<string, Provider>();
  const scope = {
    variable: (name: string): Json => {
      const declared = configuration.variables.get(name);
      if (!declared) throw new ApplyError(`variable "${name}" is not declared`);
      const value = own(variables, name) ?? declared.default;
      if (value === undefined) throw new ApplyError(`variable "${name}" has no value`);
      return value;
    },
    attribute: (address: string, attribute: string): Json => {
      const value = own(planned.get(address) ?? {}, attribute);
      if (value === undefined) throw new ApplyError(`${address} has no attribute "${attribute}"`);
      return value;
    },
  };
  const providerOf = (name: string, address: string): Provider => {
    const existing = providers.get(name);
    if (existing) return existing;
    const factory = own(factories, name.split(".")[0]!);
    if (!factory) throw new ApplyError(`${address}: provider "${name}" is not known to the sandbox`);
    const settings = configuration.providers.get(name) ?? (name.includes(".") ? undefined : {});
    if (!settings) throw new ApplyError(`${address}: provider "${name}" is not declared`);
    const provider = named(`provider.${name}`, () =>
      factory(interpolate(settings, scope, `provider.${name}`) as JsonObject),
    );
    providers.set(name, provider);
    return provider;
  };

  const ordered = inDependencyOrder(configuration.resources);
  try {
    // All values are known before the first change, so that what is not known here leaves nothing half-done.
    const steps = ordered.map(({ type, address, provider, attributes }) => {
      const handler = own(providerOf(provider, address).handlers, type);
      if (!handler) throw new ApplyError(`${address}: type "${type}" is not known to the sandbox`);
      const values = interpolate(attributes, scope, address);
      const parsed = named(address, () => handler.schema.parse(values)) as JsonObject;
      const { computed, apply: run } = named(address, () => handler.plan(parsed as never));
      planned.set(address, { ...parsed, ...computed });
      return { address, run };
    });
    for (const { address, run } of steps) {
      await run().catch((error: unknown) => {
        throw new ApplyError(`${address}: ${error instanceof Error ? error.message : String(error)}`);
      });
    }
  } finally {
    await Promise.all([...providers.values()].map((provider) => provider.close()));
  }
  return ordered.length;
}

/** Not what every object has: a configuration may call anything `constructor`. */
function own<T>(values: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}

function named<T>(address: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof ZodError)) throw new ApplyError(`${address}: ${(error as Error).message}`);
    const issue = error.issues[0]!;
    const path = issue.path.join(".");
    if (issue.code === "unrecognized_keys") {
      throw new ApplyError(
        `${address}: attribute "${[...issue.path, issue.keys[0]!].join(".")}" is not known to the sandbox`,
      );
    }
    throw new ApplyError(`${address}: attribute "${path}": ${issue.message}`);
  }
}
