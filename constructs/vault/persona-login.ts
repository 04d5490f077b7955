import type { AccessManifestInput } from "../../manifest/schema";
import type { IGrantee } from "./policy-document";

type Persona = AccessManifestInput["databases"][number]["personas"][number];

/** How a persona proves to Vault who it is: a role of an auth method, to which its leases are granted. */
export interface IPersonaLogin extends IGrantee {
  /** As the manifest has it, by now. */
  readonly declared: Pick<Persona, "appRole" | "policies">;
}
