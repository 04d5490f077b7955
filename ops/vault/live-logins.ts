import { pathsOf } from "../../access/policy-paths";
import { Outage } from "../../clients/outage";
import { few } from "../../clients/text";
import type { VaultClient } from "../../clients/vault-client";
import type { ManifestDatabase, ManifestPersona } from "../../manifest/schema";
import type { Attributes, StateResource } from "../deployment/deployment";

/** A database role as Vault has it. */
export interface LiveDatabaseRole {
  readonly mount: string;
  readonly name: string;
  /** Seconds. */
  readonly defaultTtl: number;
  readonly maxTtl: number;
  /** Its creation statements. */
  readonly creation: string;
}

/**
 * What Vault has of a deployment, read with a token of the trust model. What it is called is known from Terraform's state, which
 * also stands for what the token may not read.
 */
export class LiveLogins {
  private readonly unread = new Set<string>();
  private outage?: string;

  constructor(
    private readonly vault: VaultClient,
    private readonly state: readonly StateResource[],
  ) {}

  /** What was not read. */
  get notes(): string[] {
    const as = "taken to be as Terraform's state has it";
    if (this.outage !== undefined) return [`Vault was not read, and is ${as}: ${this.outage}`];
    if (this.unread.size === 0) return [];
    return [`Vault does not let this token read ${few([...this.unread])}, which is ${as}`];
  }

  /** Where a deploy has mounted the secrets engine of a connection, and who logs in on it. */
  async connection({
    vault: { mount, mountExists, connection },
    manager,
  }: ManifestDatabase): Promise<{ mount: string; mountExists?: boolean; manager?: string }> {
    const known = this.all("vault_database_secret_backend_connection").filter(
      ({ name }) => name === connection,
    );
    const found = known.find(({ backend }) => backend === mount) ?? known[0];
    if (!found) return { mount, mountExists, manager };
    const path = String(found["backend"]);
    const answer = await this.read(`${path}/config/${connection}`, found);
    const details = (answer?.["connection_details"] ?? listOf(found["postgresql"])[0] ?? {}) as Attributes;
    return {
      mount: path,
      mountExists: !this.isMounted("vault_mount", path),
      manager: (details["username"] as string | undefined) ?? manager,
    };
  }

  /** The one that leases logins in a group role; undefined where there is none. */
  async databaseRole({ vault }: ManifestDatabase, groupRole: string): Promise<LiveDatabaseRole | undefined> {
    const ofGroup = this.all("vault_database_secret_backend_role").filter((role) =>
      [`"${groupRole}"`, `'${groupRole}'`].some((name) => creationOf(role).includes(name)),
    );
    const known = ofGroup.find((role) => role["db_name"] === vault.connection) ?? ofGroup[0];
    if (!known) return undefined;
    const [mount, name] = [String(known["backend"]), String(known["name"])];
    const found = await this.read(`${mount}/roles/${name}`, known);
    const [defaultTtl, maxTtl] = [Number(found?.["default_ttl"]), Number(found?.["max_ttl"])];
    return found && { mount, name, defaultTtl, maxTtl, creation: creationOf(found) };
  }

  /** The AppRole whose own policy allows a path; undefined where there is none. */
  async login(path: string): Promise<Pick<ManifestPersona, "login" | "policies"> | undefined> {
    const own = this.policyWith(path);
    const known = this.all("vault_approle_auth_backend_role").find((role) =>
      listOf(role["token_policies"]).includes(own?.["name"]),
    );
    if (!own || !known) return undefined;
    const [authMount, name] = [String(known["backend"]), String(known["role_name"])];
    const found = await this.read(`auth/${authMount}/role/${name}`, known);
    if (!found) return undefined;
    const policies = listOf(found["token_policies"]).map(String);
    const { policy: text } = (await this.read(`sys/policies/acl/${String(own["name"])}`, own)) ?? {};
    const cidrs = (key: string) => listOf(found[key]).map(withMask);
    return {
      login: {
        ...{ kind: "approle", authMount, authMountExists: !this.isMounted("vault_auth_backend", authMount) },
        ...{ name, policies },
        ...{ tokenTtl: Number(found["token_ttl"]), tokenMaxTtl: Number(found["token_max_ttl"]) },
        ...{ secretIdTtl: Number(found["secret_id_ttl"]), secretIdUses: Number(found["secret_id_num_uses"]) },
        tokenBoundCidrs: cidrs("token_bound_cidrs"),
        secretIdBoundCidrs: cidrs("secret_id_bound_cidrs"),
      },
      policies: policies.map((each) =>
        each === own["name"] ? { name: each, text: text as string } : { name: each },
      ),
    };
  }

  /** Those of a connection, whose passwords are personas' to read. */
  async staticRoles(
    { vault }: ManifestDatabase,
    personas: readonly ManifestPersona[],
  ): Promise<ManifestDatabase["staticRoles"]> {
    const roles: ManifestDatabase["staticRoles"] = [];
    for (const known of this.all("vault_database_secret_backend_static_role")) {
      if (known["db_name"] !== vault.connection) continue;
      const [mount, name] = [String(known["backend"]), String(known["name"])];
      const policy = this.policyWith(`${mount}/static-creds/${name}`)?.["name"];
      const persona = personas.find(({ login }) => login.policies.some((each) => each === policy));
      const found = await this.read(`${mount}/static-roles/${name}`, known);
      if (!persona || !found) continue;
      const rotationPeriod = Number(found["rotation_period"]) || undefined;
      roles.push({ name, login: String(found["username"]), persona: persona.name, rotationPeriod });
    }
    return roles;
  }

  private all(type: string): Attributes[] {
    return this.state.filter((one) => one.type === type).map(({ attributes }) => attributes);
  }

  private isMounted(type: "vault_mount" | "vault_auth_backend", at: string): boolean {
    return this.all(type).some(({ path }) => path === at);
  }

  private policyWith(allowed: string): Attributes | undefined {
    return this.all("vault_policy").find(({ policy: text }) =>
      pathsOf([{ text: text as string }]).some(({ path }) => path === allowed),
    );
  }

  /** @returns undefined where it is not there */
  private async read(path: string, known: Attributes): Promise<Attributes | undefined> {
    if (this.outage !== undefined) return known;
    try {
      const { status, body } = await this.vault.request("GET", path);
      if (status === 404) return undefined;
      if (status === 200) return body.data ?? {};
      this.unread.add(path);
    } catch (error) {
      if (!(error instanceof Outage)) throw error;
      this.outage = error.message;
    }
    return known;
  }
}

function creationOf(role: Attributes): string {
  return listOf(role["creation_statements"]).join("\n");
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

/** As a config spells an address: Vault leaves the mask of a single one out. */
function withMask(cidr: unknown): string {
  const text = String(cidr);
  return text.includes("/") ? text : `${text}/${text.includes(":") ? "128" : "32"}`;
}
