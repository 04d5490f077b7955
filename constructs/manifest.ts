import { DefaultTokenResolver, StringConcat, TerraformStack, Tokenization } from "cdktf";
import type { IConstruct } from "constructs";
import type { Input } from "../manifest/inputs";
import type { AccessManifestInput } from "../manifest/schema";
import { DeclarationError } from "./declaration-error";

type Database = AccessManifestInput["databases"][number];
type Server = NonNullable<AccessManifestInput["servers"]>[number];
/** What an environment has that no construct declares. */
type EnvironmentFacts = Pick<AccessManifestInput, "environment" | "vault" | "policies" | "accepted">;

const MANIFESTS = new WeakMap<IConstruct, Manifest>();

/** What the constructs of an app declare, in whatever stacks they are: synth writes it to access.json. */
export class Manifest {
  /** That of the app in which the scope is. */
  static of({ node: { root } }: IConstruct): Manifest {
    const manifest = MANIFESTS.get(root) ?? new Manifest();
    MANIFESTS.set(root, manifest);
    return manifest;
  }

  private readonly servers: Server[] = [];
  private readonly databases = new Map<string, (() => Partial<Database>)[]>();
  private readonly inputs = new Map<string, Input>();

  addServer(server: Server): void {
    this.servers.push(server);
  }

  /** A variable that several stacks have is one input. */
  addInput(input: Input): void {
    this.inputs.set(input.variable, input);
  }

  /** What one of a database's constructs knows, read at synth; personas and static roles add up. */
  addToDatabase(scope: IConstruct, name: string, facts: () => Partial<Database>): void {
    const before = this.databases.get(name) ?? [];
    this.databases.set(name, [...before, () => spell(scope, facts())]);
  }

  /** The content of access.json. */
  synthesize({ environment, vault, policies, accepted }: EnvironmentFacts): AccessManifestInput {
    const databases = [...this.databases.values()].map((constructs) => {
      const parts = constructs.map((facts) => facts());
      return {
        ...(parts.reduce(merge, {}) as Database),
        personas: parts.flatMap(({ personas = [] }) => personas),
        staticRoles: parts.flatMap(({ staticRoles = [] }) => staticRoles),
      };
    });
    const { servers, inputs } = this;
    return {
      ...{ version: 1, environment, servers, vault, policies },
      ...{ databases, inputs: [...inputs.values()], accepted },
    };
  }
}

/** @throws DeclarationError where two constructs say different things of one database */
function merge(known: Partial<Database>, facts: Partial<Database>): Partial<Database> {
  for (const [key, value] of Object.entries(facts)) {
    if (key === "personas" || key === "staticRoles") continue;
    const before: unknown = known[key as keyof Database];
    const isRepeated = before !== undefined && (value as unknown) !== undefined;
    if (isRepeated && JSON.stringify(before) !== JSON.stringify(value))
      throw new DeclarationError(
        `${key} of a database (${JSON.stringify(value)}) must be declared once, it is ${JSON.stringify(before)} already`,
      );
  }
  return { ...known, ...facts };
}

/** A value with each Token as Terraform spells it in the stack of the scope: `${var.name}`. */
export function spell<Value>(scope: IConstruct, value: Value): Value {
  return Tokenization.resolve(value, {
    scope: TerraformStack.of(scope),
    resolver: new DefaultTokenResolver(new StringConcat()),
    preparing: false,
  }) as Value;
}
