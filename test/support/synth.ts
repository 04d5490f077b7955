import { Testing, type App, type TerraformStack } from "cdktf";
import local from "../../config/local";
import { parseEnvironment, type Environment, type EnvironmentInput } from "../../config/schema/schema";
import { declareStacks, type Stacks } from "../../stacks/app";
import { temporaryFolder } from "./folder";

export type Attributes = Readonly<Record<string, unknown>>;

/** A stack's JSON, and its resources by address. */
export interface Synthesized {
  readonly text: string;
  readonly json: Attributes;
  readonly resources: ReadonlyMap<string, Attributes>;
}

/** An app that is synthesized in memory. cdktf makes a folder for each all the same. */
export function testApp(): App {
  const { folder, remove } = temporaryFolder();
  const app = Testing.app({ outdir: folder });
  remove();
  return app;
}

/** Runs validations, which `Testing.synth` leaves out unless it is told to. */
export function synth(stack: TerraformStack): Synthesized {
  const text = Testing.synth(stack, true);
  const json = JSON.parse(text) as { resource?: Record<string, Record<string, Attributes>> };
  const resources = Object.entries(json.resource ?? {}).flatMap(([type, byName]) =>
    Object.entries(byName).map(([name, attributes]) => [`${type}.${name}`, attributes] as const),
  );
  return { text, json, resources: new Map(resources) };
}

/** The resources of a type, by what is asked of them. */
export function find({ resources }: Synthesized, type: string, wanted: Attributes = {}): Attributes[] {
  return [...resources]
    .filter(([address]) => address.startsWith(`${type}.`))
    .map(([, attributes]) => attributes)
    .filter((attributes) =>
      Object.entries(wanted).every(
        ([key, value]) => JSON.stringify(attributes[key]) === JSON.stringify(value),
      ),
    );
}

/** The environment local, changed. */
export function environment(change: (draft: EnvironmentInput) => void = () => undefined): Environment {
  const draft = JSON.parse(JSON.stringify(local)) as EnvironmentInput;
  change(draft);
  return parseEnvironment("config/test.ts", draft);
}

/** Those that an environment synthesizes. */
export function stackNames({ vault }: Environment): ("platform" | "postgres" | "vault")[] {
  return [...(vault.container ? ["platform" as const] : []), "postgres", "vault"];
}

export function stacks(of: Environment = environment()): Required<Stacks> {
  const declared = declareStacks(testApp(), of);
  return { ...declared, platform: declared.platform! };
}
