import { createServer } from "node:net";
import { SetupError } from "../../clients/setup-error";
import { sealStatus } from "../../clients/vault-seal";
import { errorText, VaultUnreachable, type VaultAnswer, type VaultClient } from "../../clients/vault-client";
import type { Input } from "../../manifest/inputs";
import type { TrustToken } from "../../manifest/names";
import type { Attributes, Deployment, Stack } from "../deployment/deployment";
import { docker, DOCKER_STOPPED, tryDocker } from "./docker";
import { madeOwnersOf, makersOf, ownersOf } from "../../manifest/names";
import type { ManifestDatabase } from "../../manifest/schema";
import { checkMaintain } from "../postgres/maintain";
import { missingTables } from "../postgres/named-tables";
import { wrongSettings } from "../postgres/persona-settings";
import { asSuperuser } from "../postgres/superuser";
import { Terraform } from "../terraform/terraform";
import { checkOperator, vaultTarget } from "../vault/prepare";

/**
 * Looks whether all that a deploy needs is there, and changes nothing.
 * @throws SetupError with a line for each thing that is missing: what, and the remedy
 */
export async function preflight(deployment: Deployment, onProgress: (text: string) => void): Promise<void> {
  await Terraform.check();
  for (const line of await deployment.mendStates()) onProgress(line);
  const platform = deployment.stack("platform");
  await all([
    // What is refused whatever init does is said beside what init would mend.
    initialiseStacks(deployment).then(() => checkRemoved(deployment)),
    ...(platform
      ? [checkDocker(deployment, platform, onProgress)]
      : [checkSuperusers(deployment).then(() => checkMaintain(deployment)), checkVault(deployment)]),
  ]);
  await checkFirstStart(deployment);
  await checkOperator(vaultTarget(deployment)).catch((error: unknown) => {
    // A container that is still to be made, or started.
    if (!platform || !((error as Error).cause instanceof VaultUnreachable)) throw error;
  });
  if (!platform) await checkMounts(deployment);
}

/** One after the other: in a database without a state Terraform's backend pg makes its table each time, which two can't at once. */
async function initialiseStacks(deployment: Deployment): Promise<void> {
  for (const stack of deployment.stacks) await initialiseStack(deployment, stack);
}

/** @throws SetupError with the lines of all that fail */
async function all(checks: readonly Promise<void>[]): Promise<void> {
  const problems = (await Promise.allSettled(checks)).filter((result) => result.status === "rejected");
  const reasons = problems.map(({ reason }) => reason as unknown);
  const unexpected = reasons.find((reason) => !(reason instanceof SetupError));
  if (unexpected) throw unexpected as Error;
  const lines = new Set(reasons.flatMap((reason) => (reason as SetupError).message.split("\n")));
  if (lines.size > 0) throw new SetupError([...lines].join("\n"));
}

/**
 * The block that is gone is also what kept Terraform from dropping a database.
 * @throws SetupError with a line for each that is deployed and no longer in the config
 */
export async function checkRemoved(deployment: Deployment): Promise<void> {
  const removed = [
    ...(await deployment.undeclared("postgres", "postgresql_database")).map(
      ({ attributes }) =>
        `the database ${String(attributes["name"])}, which Terraform would drop with its data`,
    ),
    ...(await deployment.undeclared("vault", "vault_mount")).map(
      ({ attributes }) =>
        `the mount ${String(attributes["path"])}, which Terraform would remove with its leases`,
    ),
    // Its address is not made of its path.
    ...(await deployment.renamed("vault", "vault_auth_backend", "path")).map(
      ({ attributes }) =>
        `the auth mount ${String(attributes["path"])}, with which Terraform would move what everybody logs in with`,
    ),
  ];
  const lines = removed.map(
    (what) =>
      `config/${deployment.manifest.environment}.ts no longer declares ${what}: put it back, or run npx leasehold destroy before you remove it`,
  );
  if (lines.length > 0) throw new SetupError(lines.join("\n"));
}

/** What PostgreSQL's image makes when its volume is empty, and never again (https://hub.docker.com/_/postgres). */
const MADE_AT_FIRST_START = { POSTGRES_USER: "superuser", POSTGRES_DB: "database" } as const;

/**
 * Terraform would replace the container, and its volume would stay what it is.
 * @throws SetupError with a line for each superuser and database that the config has otherwise than the deployed container
 */
export async function checkFirstStart(deployment: Deployment): Promise<void> {
  const platform = deployment.stack("platform");
  if (!platform) return;
  const declared = platform.json.resource["docker_container"] ?? {};
  const lines = (await deployment.state(platform)).flatMap(({ address, attributes }) =>
    Object.entries(MADE_AT_FIRST_START).flatMap(([variable, what]) => {
      const wanted = valueIn(declared[address.replace("docker_container.", "")], variable);
      const found = valueIn(attributes, variable);
      return wanted === undefined || found === undefined || wanted === found
        ? []
        : `config/${deployment.manifest.environment}.ts has the ${what} ${wanted}, and the volume of the container ${String(attributes["name"])} was made with ${found}: put it back, or run npx leasehold destroy --delete-data with the config that deployed it, then deploy anew`;
    }),
  );
  if (lines.length > 0) throw new SetupError(lines.join("\n"));
}

/** Of an environment variable of a container. */
function valueIn(container: Attributes | undefined, variable: string): string | undefined {
  const env = (container?.["env"] ?? []) as readonly string[];
  return env.find((entry) => entry.startsWith(`${variable}=`))?.slice(variable.length + 1);
}

/** Ready for Terraform, with the state that an earlier run could not save. */
export async function initialiseStack(deployment: Deployment, stack: Stack): Promise<void> {
  deployment.restore(stack);
  const terraform = deployment.terraform(stack, undefined);
  await terraform.init(stack.json.terraform);
  await terraform.saveErrored();
}

/** @throws SetupError when a server does not answer or refuses the login */
export async function checkSuperusers(
  deployment: Deployment,
  options?: { forPlan?: boolean },
): Promise<void> {
  for (const login of deployment.superusers(options)) await asSuperuser(login, () => Promise.resolve());
}

/**
 * What personas make would be a superuser's, and who acts as the owner a superuser. What the config says exists is no stack's to
 * make.
 * @throws SetupError with a line for each owner that is one, and for each role, schema and named table that is missing
 */
export async function checkOwners(deployment: Deployment): Promise<void> {
  const lines: string[] = [];
  for (const database of deployment.manifest.databases) {
    const found = await asSuperuser(deployment.superuserOf(database), (client) =>
      client.query<{ name: string }>(
        "SELECT rolname AS name FROM pg_roles WHERE rolsuper AND rolname = ANY ($1) ORDER BY 1",
        [ownersOf(database).filter((name) => !isDeclaredSuperuser(database, name))],
      ),
    );
    for (const { name } of found!.rows)
      lines.push(
        `the owner ${name} of the database ${database.name} is a superuser, to whom no persona's objects can be given: name another owner in the config`,
      );
    for (const check of [missingOf, missingTables, wrongSettings, unfitLogins])
      lines.push(...(await check(deployment, database)));
  }
  if (lines.length > 0) throw new SetupError(lines.join("\n"));
}

/** The stacks have nobody act as it. */
function isDeclaredSuperuser({ schemas }: ManifestDatabase, name: string): boolean {
  return schemas.some(({ owner, ownerIsSuperuser }) => owner === name && ownerIsSuperuser);
}

function existingLogins({ staticRoles }: ManifestDatabase): string[] {
  return staticRoles.flatMap(({ login, loginExists }) => (loginExists ? login : []));
}

async function missingOf(deployment: Deployment, database: ManifestDatabase): Promise<string[]> {
  const made = madeOwnersOf(database);
  const roles = [...makersOf(database).filter((name) => !made.includes(name)), ...existingLogins(database)];
  const schemas = database.schemas.filter(({ exists }) => exists).map(({ name }) => name);
  const names = await asSuperuser(
    deployment.superuserOf(database),
    async (client) => {
      const missing = async (catalog: string, column: string, wanted: readonly string[]) =>
        (
          await client.query<{ name: string }>(
            `SELECT name FROM unnest($1::text[]) name WHERE name NOT IN (SELECT ${column}::text FROM ${catalog}) ORDER BY 1`,
            [wanted],
          )
        ).rows.map(({ name }) => name);
      return [
        ...(await missing("pg_roles", "rolname", roles)).map((name) => `the role ${name}`),
        ...(await missing("pg_namespace", "nspname", schemas)).map((name) => `the schema ${name}`),
      ];
    },
    database.name,
  );
  const isMissing = names === undefined && database.exists;
  return (isMissing ? [`the database ${database.name}`] : (names ?? [])).map(
    (what) =>
      `${what}, which the config has as one that exists, is not there on the server of the database ${database.name}: create it, or correct the config`,
  );
}

/** Whoever sets the password of one that may do more than log in could do that too, so Vault's login may not. */
async function unfitLogins(deployment: Deployment, database: ManifestDatabase): Promise<string[]> {
  const logins = existingLogins(database);
  if (logins.length === 0) return [];
  const found = await asSuperuser(deployment.superuserOf(database), (client) =>
    client.query<{ name: string }>(
      `SELECT rolname AS name FROM pg_roles
       WHERE rolname = ANY ($1) AND (NOT rolcanlogin OR rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls)
       ORDER BY 1`,
      [logins],
    ),
  );
  return found!.rows.map(
    ({ name }) =>
      `${name}, the login of a static role of the database ${database.name}, can't log in, or is a superuser or has CREATEROLE, REPLICATION or BYPASSRLS: Vault does not set the password of such a one, name another login in the config`,
  );
}

/** @throws SetupError when Vault is not serving requests */
export async function checkVaultServes(vault: VaultClient): Promise<void> {
  const at = `Vault at ${vault.address}`;
  const { initialized, sealed } = await sealStatus(vault);
  if (!initialized) throw new SetupError(`${at} is not initialised: run npx leasehold init`);
  if (sealed) throw new SetupError(`${at} is sealed: run npx leasehold init, or vault operator unseal`);
}

/** A container's Vault has the token on file alone. */
export function orToken(deployment: Deployment): string {
  return deployment.stack("platform") ? "" : ", or set VAULT_TOKEN";
}

/** Of a token that may not even look at itself. */
export function refusalText(deployment: Deployment, who: TrustToken, answer: VaultAnswer): string {
  return `Vault at ${deployment.vault().address} rejects the ${who}'s token (HTTP ${String(answer.status)}: ${errorText(answer)}): run npx leasehold init${orToken(deployment)}`;
}

/** @throws SetupError when Vault is not serving requests, or its answer to the operator's token is no */
export async function checkVault(deployment: Deployment): Promise<void> {
  const vault = deployment.vault();
  const at = `Vault at ${vault.address}`;
  await checkVaultServes(vault);
  await checkRotations(deployment, vault);
  const token = deployment.token("operator");
  const { operator, ...others } = deployment.manifest.policies!;
  if (!token)
    throw new SetupError(
      `there is no operator's token for ${at}: run npx leasehold init${orToken(deployment)}`,
    );
  const holder = vault.withToken(token);
  const self = await holder.request("GET", "auth/token/lookup-self");
  if (self.status !== 200) throw new SetupError(refusalText(deployment, "operator", self));
  const { policies } = self.body.data as { policies: string[] };
  const { mount } = deployment.manifest.databases[0]!.vault;
  // A mount that is not there yet is another status.
  const mayManage = (await holder.request("GET", `sys/mounts/${mount}`)).status !== 403;
  const isOther =
    Object.values(others).some((name) => policies.includes(name)) && !policies.includes(operator);
  if (!mayManage || isOther) {
    throw new SetupError(
      `the token for ${at} has the policies ${policies.join(", ")} and may not deploy: it needs ${operator} (cdktf.out/operator.hcl); run npx leasehold init${orToken(deployment)}`,
    );
  }
}

/** @throws SetupError with a line for each mount that the config has as one that exists, and that is not there or another's type */
export async function checkMounts(deployment: Deployment): Promise<void> {
  const { databases } = deployment.manifest;
  const vault = deployment.vault().withToken(deployment.token("operator"));
  const databaseMounts = databases.flatMap(({ vault: { mount, mountExists } }) => (mountExists ? mount : []));
  const authMounts = databases
    .flatMap(({ personas }) => personas)
    .flatMap(({ login }) =>
      login.authMountExists ? [[login.kind, `auth/${login.authMount}`] as const] : [],
    );
  const wanted = new Map([
    ...databaseMounts.map((mount) => [mount, "database"] as const),
    ...authMounts.map(([kind, mount]) => [mount, kind] as const),
  ]);
  const lines: string[] = [];
  for (const [mount, type] of wanted) {
    const { status, body } = await vault.request("GET", `sys/mounts/${mount}`);
    const found = body.data?.["type"];
    if (status === 403 || found === type) continue;
    const what = typeof found === "string" ? `is of the type ${found} and not ${type}` : "is not there";
    lines.push(
      `the mount ${mount}, which the config has as one that exists, ${what} in Vault at ${vault.address}: mount it (vault ${mount.startsWith("auth/") ? "auth" : "secrets"} enable -path=${mount.replace(/^auth\//, "")} ${type}), or correct the config`,
    );
  }
  if (lines.length > 0) throw new SetupError(lines.join("\n"));
}

/**
 * OpenBao asks for a period, and what Terraform's provider does not send to a Vault that is no Enterprise it does not mention.
 * @throws SetupError with a line for each static role whose rotation Vault does not have
 */
async function checkRotations({ manifest }: Deployment, vault: VaultClient): Promise<void> {
  const roles = manifest.databases.flatMap(({ staticRoles }) => staticRoles);
  if (!roles.some(({ rotationSchedule, skipImportRotation }) => rotationSchedule ?? skipImportRotation))
    return;
  const { body } = await vault.request("GET", "sys/health?standbyok=true&perfstandbyok=true");
  // OpenBao has no such field.
  const { version = "unknown", enterprise } = body as { version?: string; enterprise?: boolean };
  const [, minor] = /^1\.(\d+)\./.exec(version) ?? [];
  const skips = enterprise === true && (minor === undefined || Number(minor) >= 18);
  const line = (role: string, field: string, needs: string, instead: string) =>
    `the static role ${role} has ${field}, for which it takes ${needs}; Vault at ${vault.address} is ${version}${enterprise === undefined ? ", OpenBao's" : ""}: ${instead}`;
  const lines = roles.flatMap(({ name, rotationSchedule, skipImportRotation }) => [
    ...(rotationSchedule !== undefined && enterprise === undefined
      ? [line(name, "a rotationSchedule", "HashiCorp's Vault", "declare a rotationPeriod")]
      : []),
    ...(skipImportRotation && !skips
      ? [
          line(
            name,
            "skipImportRotation",
            "Vault Enterprise 1.18 or later",
            "without it the login has a new password at once",
          ),
        ]
      : []),
  ]);
  if (lines.length > 0) throw new SetupError(lines.join("\n"));
}

async function checkDocker(
  deployment: Deployment,
  platform: Stack,
  onProgress: (text: string) => void,
): Promise<void> {
  await docker(DOCKER_STOPPED, "version", "--format", "{{.Server.Version}}");
  const resolve = (text: unknown) => deployment.resolve(platform, text);
  const checkPorts = async (container: Attributes) => {
    const name = resolve(container["name"]);
    const filter = ["--filter", `name=^/${name}$`];
    const ports = await docker("containers can't be listed", "ps", "--format", "{{.Ports}}", ...filter);
    for (const { external } of container["ports"] as { external: unknown }[]) {
      const port = resolve(external);
      // A running container uses its own port; a new port may be in use by something else.
      if (!ports.includes(`:${port}->`)) await checkPort(Number(port), name);
    }
  };
  const containers = Object.values(platform.json.resource["docker_container"] ?? {});
  const isConfigured = containers.some((container) => valueIn(container, "VAULT_LOCAL_CONFIG") !== undefined);
  const checkImageOf = async ({ variable, for: purpose }: Input) => {
    const image = resolve(`\${var.${variable}}`);
    await checkImage(image, variable, onProgress);
    if (purpose === "vault-image" && isConfigured) await checkIsVaults(image, variable);
  };
  await all([
    ...deployment.manifest.inputs
      .filter((input) => input.for === "image" || input.for === "vault-image")
      .map(checkImageOf),
    ...containers.map(checkPorts),
  ]);
}

/** Pulls an image that is not on this machine: nothing else tells whether it is available. */
async function checkImage(
  image: string,
  variable: string,
  onProgress: (text: string) => void,
): Promise<void> {
  if (!(await tryDocker("image", "inspect", image)).failed) return;
  onProgress(`pulling ${image}`);
  const { failed, stderr } = await tryDocker("pull", "--quiet", image);
  if (failed)
    throw new SetupError(
      `the image ${image} is not on this machine and can't be pulled (${stderr.split("\n").at(-1) ?? ""}): docker load it, or set TF_VAR_${variable}, or image in the config, to one from a registry in reach (docs/air-gapped.md)`,
    );
}

/** OpenBao's images read another variable and another folder: in server mode the container would have no listener. */
async function checkIsVaults(image: string, variable: string): Promise<void> {
  const { stdout } = await tryDocker("image", "inspect", "--format", "{{json .Config}}", image);
  // Their volumes; of the one without a shell, its program.
  if (/"\/openbao\/|\/bao"/.test(stdout))
    throw new SetupError(
      `the image ${image} is OpenBao's, which does not read what Vault's image is configured with and would not listen: set TF_VAR_${variable}, or image in the config, to one of Vault's, or have OpenBao as a server that exists already (docs/external.md)`,
    );
}

function checkPort(port: number, container: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error) => {
      reject(
        new SetupError(
          `port ${String(port)} of 127.0.0.1 is not available for ${container} (${error.message}): stop what uses it, or set another hostPort in the config`,
        ),
      );
    });
    server.listen(port, "127.0.0.1", () =>
      server.close(() => {
        resolve();
      }),
    );
  });
}
