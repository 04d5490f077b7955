import { DefaultTokenResolver, StringConcat, TerraformStack, Tokenization } from "cdktf";
import type { IConstruct } from "constructs";
import type { Input } from "../manifest/inputs";
import type { AccessManifestInput } from "../manifest/schema";

type Database = AccessManifestInput["databases"][number];
type Persona = Database["personas"][number];
type StaticRole = NonNullable<Database["staticRoles"]>[number];
type Server = NonNullable<AccessManifestInput["servers"]>[number];

/** Facts of a construct's, worked out at synth, when all that was added to it is there. */
type Declared<Facts> = () => Facts;

interface DeclaredDatabase {
  readonly facts: Declared<Partial<Database>>[];
  readonly personas: Declared<Persona>[];
  readonly staticRoles: Declared<StaticRole>[];
}

/** What an environment has that no construct declares. */
export type EnvironmentFacts = Pick<AccessManifestInput, "environment" | "vault" | "policies" | "accepted">;

const MANIFESTS = new WeakMap<IConstruct, Manifest>();

/** What the constructs of an app declare, in whatever stacks they are: synth writes it to access.json. */
export class Manifest {
  /** That of the app in which the scope is. */
  static of({ node: { root } }: IConstruct): Manifest {
    const manifest = MANIFESTS.get(root) ?? new Manifest();
    MANIFESTS.set(root, manifest);
    return manifest;
  }

  private readonly servers: Declared<Server>[] = [];
  private readonly databases = new Map<string, DeclaredDatabase>();
  private readonly inputs = new Map<string, Input>();

  addServer(scope: IConstruct, server: Declared<Server>): void {
    this.servers.push(spelled(scope, server));
  }

  /** A variable that several stacks have is one input. */
  addInput(input: Input): void {
    this.inputs.set(input.variable, input);
  }

  /** Each of a database's constructs adds what it knows. */
  addToDatabase(scope: IConstruct, name: string, facts: Declared<Partial<Database>>): void {
    this.database(name).facts.push(spelled(scope, facts));
  }

  addPersona(scope: IConstruct, database: string, persona: Declared<Persona>): void {
    this.database(database).personas.push(spelled(scope, persona));
  }

  addStaticRole(scope: IConstruct, database: string, role: Declared<StaticRole>): void {
    this.database(database).staticRoles.push(spelled(scope, role));
  }

  /** The content of access.json. */
  synthesize({ environment, vault, policies, accepted }: EnvironmentFacts): AccessManifestInput {
    const databases = [...this.databases.values()].map(({ facts, personas, staticRoles }) => ({
      ...(Object.assign({}, ...facts.map(worked)) as Omit<Database, "personas" | "staticRoles">),
      personas: personas.map(worked),
      staticRoles: staticRoles.map(worked),
    }));
    return {
      version: 1,
      environment,
      servers: this.servers.map(worked),
      vault,
      policies,
      databases,
      inputs: [...this.inputs.values()],
      accepted,
    };
  }

  private database(name: string): DeclaredDatabase {
    const declared = this.databases.get(name) ?? { facts: [], personas: [], staticRoles: [] };
    this.databases.set(name, declared);
    return declared;
  }
}

function worked<Facts>(declared: Declared<Facts>): Facts {
  return declared();
}

/** Each Token as Terraform spells it in the stack of the scope: `${var.name}`. */
function spelled<Facts>(scope: IConstruct, declared: Declared<Facts>): Declared<Facts> {
  return () => spell(scope, declared());
}

/** A value with each Token as Terraform spells it in the stack of the scope: `${var.name}`. */
export function spell<Value>(scope: IConstruct, value: Value): Value {
  return Tokenization.resolve(value, {
    scope: TerraformStack.of(scope),
    resolver: new DefaultTokenResolver(new StringConcat()),
    preparing: false,
  }) as Value;
}
