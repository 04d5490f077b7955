import { escapeIdentifier } from "pg";
import { groupRolesOf, LEASE_SCHEMA, madeOwnersOf, maintainRolesOf, ownersOf } from "../../manifest/names";
import type { ManifestDatabase } from "../../manifest/schema";
import { Deployment, forgottenBy, type Stack, type StateResource } from "../deployment/deployment";
import { dropLogins, dropRoles, emptyGroup } from "../postgres/leased-logins";
import { endLeasing, revokeLeases } from "../vault/leases";
import { prepareVault, vaultTarget } from "../vault/prepare";
import { endTrust, hasTrust } from "../vault/trust-end";
import { adopt, findLeftover, findMarked, findResource, leave, type Leftover } from "../postgres/leftover";
import { dropFunctions } from "../postgres/lease-functions";
import { lock } from "../deployment/lock";
import {
  awaitHealthy,
  deployedPlatform,
  keptVolumes,
  declaredPlatform,
  removeVolumes,
  startStopped,
} from "../docker/platform";
import { checkRemoved, checkSuperusers, checkVault, initialiseStack } from "../docker/preflight";
import { forgetGoneTables } from "../postgres/named-tables";
import { givePublicBack } from "../postgres/public-privileges";
import { formerAddresses, giveOwnersBack } from "../postgres/former-owners";
import { reopenOthers } from "../postgres/other-databases";
import { emptyRecord, moveHomeRecord } from "../postgres/record";
import { spellSettings } from "../postgres/role-settings";
import { confirm } from "../terminal/ask";
import { sweepAll } from "../postgres/sweep";
import { runSteps, type StepOutput, type Step } from "../terminal/progress";
import { asSuperuser, whereverNamed } from "../postgres/superuser";
import { changesText, Terraform } from "../terraform/terraform";

export interface DestroyOptions {
  readonly env?: string;
  readonly autoApprove?: boolean;
  readonly deleteData?: boolean;
  readonly forceLeases?: boolean;
}

/** What a run has found and left. */
interface Run {
  readonly deployment: Deployment;
  readonly options: DestroyOptions;
  readonly states: Map<string, readonly StateResource[]>;
  readonly left: string[];
}

/** Removes what deploy created, except the users' data. Returns the exit code. */
export async function destroy(options: DestroyOptions, signal: AbortSignal): Promise<number> {
  const release = lock("destroy");
  try {
    let deployment!: Deployment;
    const states = new Map<string, readonly StateResource[]>();
    await runSteps(
      [
        {
          title: "Synthesize, and read what is there",
          run: async (show) => {
            deployment = await Deployment.open(options.env, signal);
            await Terraform.check();
            for (const line of await deployment.mendStates()) show.detail(line);
            await Promise.all(
              deployment.stacks.map(async (stack) => {
                await initialiseStack(deployment, stack);
                states.set(stack.name, await deployment.state(stack));
              }),
            );
          },
        },
      ],
      signal,
    );
    if (!options.deleteData) await checkRemoved(deployment);
    const { environment } = deployment.manifest;
    const counts = [...states].filter(([, resources]) => resources.length > 0);
    // What an earlier destroy left is in no state.
    const hasPlatform = deployment.stack("platform") !== undefined;
    const volumes = options.deleteData && hasPlatform ? await keptVolumes(declaredPlatform(deployment)) : [];
    const marked = options.deleteData && !hasPlatform ? await findMarked(deployment) : [];
    const what = [
      ...counts.map(([name, resources]) => `${name} (${String(resources.length)} resources)`),
      ...marked.map(({ object, name }) => `the ${object.toLowerCase()} ${name}`),
      ...volumes.map((name) => `the volume ${name}`),
      ...((await hasTrust(vaultTarget(deployment))) ? ["what init made in Vault"] : []),
    ].join(", ");
    if (!what) {
      console.log(`\nNothing to do: the state of ${environment} is empty.`);
      return 0;
    }
    if (!options.autoApprove)
      await confirm(
        `Destroy ${environment}: ${what}${options.deleteData ? ", and all data" : ""}.`,
        "nothing was destroyed",
        signal,
      );
    if (marked.length > 0) {
      await runSteps(
        [
          {
            title: "Take back what an earlier destroy left",
            run: async (show) => {
              await adopt(deployment, marked, show.detail);
              states.set("postgres", await deployment.state(deployment.stack("postgres")!));
            },
          },
        ],
        signal,
      );
    }
    const run: Run = { deployment, options, states, left: [] };
    await runSteps(destroySteps(run), signal);
    deployment.home.removeDeployedAccess();
    console.log(`\nDestroyed ${environment}.`);
    const files = deployment.home.files();
    if (files.length > 0) run.left.push(`the folder ${deployment.home.folder} with ${files.join(", ")}`);
    for (const line of run.left) console.log(`left: ${line}`);
    return 0;
  } finally {
    release();
  }
}

const STATIC_ROLE = "vault_database_secret_backend_static_role";

function destroySteps(run: Run): Step[] {
  const { deployment, states } = run;
  const has = (name: string) => (states.get(name)?.length ?? 0) > 0;
  const steps: Step[] = [];
  const platform = deployment.stack("platform");
  if (platform && (has("vault") || has("postgres"))) {
    steps.push({
      title: "Start stopped containers, and unseal Vault",
      run: async () => {
        const declared = await deployedPlatform(deployment);
        await startStopped(declared);
        await awaitHealthy(declared);
        await prepareVault(vaultTarget(deployment));
      },
    });
  }
  if (has("vault")) {
    steps.push(
      { title: "Revoke all leases", run: (show) => revokeAll(run, show) },
      destroyStep(run, deployment.stack("vault")!),
    );
    for (const { vault, staticRoles } of deployment.manifest.databases)
      for (const { name, login, loginExists } of staticRoles)
        if (loginExists && findResource(states.get("vault")!, STATIC_ROLE, { name, backend: vault.mount }))
          run.left.push(
            `the login ${login} with the password that Vault gave it last, which nobody has from then on: ALTER ROLE ${escapeIdentifier(login)} PASSWORD … gives it another`,
          );
  }
  if (has("postgres")) {
    steps.push(
      {
        title: "Give back what deploy took",
        run: (show) => giveBack(run, show),
      },
      destroyStep(run, deployment.stack("postgres")!, async (show) => {
        for (const line of await forgetGoneTables(deployment)) show.detail(line);
        await freeGroups(run, show);
        await sparePostgres(run);
      }),
    );
  }
  // A container's go with its storage.
  if (!platform)
    steps.push({
      title: "End what init made in Vault",
      run: async (show) => {
        const { did, left } = await endTrust(vaultTarget(deployment));
        for (const line of did) show.detail(line);
        run.left.push(...left);
      },
    });
  if (platform && has("platform")) steps.push(destroyStep(run, platform));
  if (platform) {
    steps.push({
      title: "Volumes",
      run: async (show) => {
        const declared = declaredPlatform(deployment);
        if (!run.options.deleteData) {
          const volumes = await keptVolumes(declared);
          run.left.push(...volumes.map((name) => `the volume ${name} with its data`));
          show.title(
            volumes.length > 0 ? "Left the volumes with their data" : "Left no volume: there were none",
          );
          return;
        }
        show.title(`Removed the volumes: ${(await removeVolumes(declared)).join(", ") || "there were none"}`);
      },
    });
  }
  return steps;
}

/** Before the destroy, which would take it away once more, and out of its state. What was on record is so until all is given back. */
async function giveBack({ deployment, states, left }: Run, show: StepOutput): Promise<void> {
  await checkSuperusers(deployment);
  for (const line of await spellSettings(deployment)) show.detail(line);
  left.push(...(await moveHomeRecord(deployment)));
  const stack = deployment.stack("postgres")!;
  const state = states.get("postgres")!;
  const publics = await givePublicBack(deployment, state);
  left.push(...publics.left);
  for (const line of [
    ...(await reopenOthers(deployment, { all: true })),
    ...(await giveOwnersBack(deployment)),
    ...publics.did,
  ])
    show.detail(line);
  const taken = state.filter(({ attributes }) => attributes["role"] === "public");
  const terraform = deployment.terraform(stack, undefined);
  await terraform.forget([
    ...taken.map(({ address }) => address),
    ...(await formerAddresses(deployment, state)),
  ]);
  const stay = await emptyRecord(deployment);
  await terraform.forget(
    state
      .filter(({ type, attributes }) => type === "postgresql_schema" && attributes["name"] === LEASE_SCHEMA)
      .filter(({ attributes }) => stay.includes(String(attributes["database"])))
      .map(({ address }) => address),
  );
  states.set("postgres", await deployment.state(stack));
}

function destroyStep(
  { deployment, states }: Run,
  stack: Stack,
  before?: (show: StepOutput) => Promise<void>,
): Step {
  return {
    title: `Destroy the stack ${stack.name}`,
    run: async (show) => {
      deployment.restore(stack);
      await before?.(show);
      const terraform = deployment.terraform(stack, deployment.token("operator"));
      // A destroy does not look at these blocks.
      const removed = forgottenBy(stack);
      await terraform.forget(
        states
          .get(stack.name)!
          .map(({ address }) => address)
          .filter((address) => removed.includes(address)),
      );
      const changes = await terraform.destroy(show.progress);
      show.title(`Destroyed the stack ${stack.name}: ${changesText(changes)}`);
    },
  };
}

/** The connection goes first in a destroy, and then Vault no longer knows how to drop a lease's login. */
async function revokeAll({ deployment, options, states }: Run, show: StepOutput): Promise<void> {
  await checkVault(deployment);
  const state = states.get("vault")!;
  await endLeasing(deployment, state);
  const forgotten = forgottenBy(deployment.stack("vault")!);
  const mounts = state
    .filter(({ type, address }) => type === "vault_mount" && !forgotten.includes(address))
    .map(({ attributes }) => `${String(attributes["path"])}/creds`);
  const roles = state
    .filter(({ type }) => type === "vault_database_secret_backend_role")
    .map(({ attributes: { backend, name } }) => `${String(backend)}/creds/${String(name)}`);
  // On a mount that somebody else has, others lease too.
  const elsewhere = roles.filter((role) => !mounts.some((mount) => role.startsWith(`${mount}/`)));
  for (const prefix of [...mounts, ...elsewhere]) {
    show.detail(
      `revoking the leases of ${prefix}, which takes minutes where there are many or PostgreSQL makes them wait`,
    );
    await revokeLeases(deployment, prefix, options.forceLeases);
  }
  if (options.forceLeases) show.title("Revoked all leases, by force");
}

/**
 * Takes from the groups what would stand in the way of DROP ROLE: logins that are left of leases by now, since Vault was made
 * to forget them or has lost its storage, and what no stack has given them, such as an owner's own grants. What they own, and
 * static logins and Vault's own, goes to the owner: Terraform's provider would give it to the superuser.
 */
async function freeGroups(run: Run, show: StepOutput): Promise<void> {
  const { deployment, states } = run;
  const state = states.get("postgres")!;
  const isMade = (name: string) => findResource(state, "postgresql_role", { name }) !== undefined;
  for (const database of deployment.manifest.databases) {
    // Not a role of the same name that was there before, on which a deploy failed.
    const groups = [...groupRolesOf(database), ...maintainRolesOf(database)].filter(isMade);
    for (const login of await dropLogins(deployment, database, groups))
      show.detail(`dropped the login ${login}, which Vault no longer knows`);
    const { dropped, kept } = await sweepAll(deployment, database);
    for (const name of dropped) show.detail(`dropped the login ${name}, which a revocation could not drop`);
    run.left.push(...kept.map((line) => `the login ${line}`));
    const login = deployment.superuserOf(database);
    const logins = [...database.staticRoles.map((role) => role.login), database.manager ?? []].flat();
    const made = [...groups, ...logins.filter(isMade)];
    await whereverNamed(login, [...ownersOf(database), ...made], database.name, async (client, existing) => {
      const heir = existing.find((name) => name === database.owner);
      for (const role of existing.filter((name) => made.includes(name))) await emptyGroup(client, role, heir);
    });
    await dropRoles(deployment, database, made);
    // Those that a killed deploy, or one to the other way of leasing, has left are in no state.
    await dropFunctions(deployment, database);
  }
}

/** Keeps the users' data, or deletes them. */
async function sparePostgres({ deployment, options, states, left }: Run): Promise<void> {
  const state = states.get("postgres")!;
  if (options.deleteData) {
    await deleteData(deployment, state);
    deployment.allowDestroy(deployment.stack("postgres")!);
  } else {
    // A destroy that did not come to its end has left these.
    for (const { object, name } of await findMarked(deployment))
      if (object === "DATABASE") left.push(`the database ${name}`);
  }
  const found = await findLeftover(deployment, state, options.deleteData);
  await leave(deployment, found, state);
  await freeOwners(deployment, found, state);
  left.push(...found.lines);
}

/** Of those that Terraform is about to drop. One that is in no state is somebody else's. */
function ownersIn(state: readonly StateResource[], database: ManifestDatabase): string[] {
  return madeOwnersOf(database).filter((name) => findResource(state, "postgresql_role", { name }));
}

/** Drops what would make DROP ROLE fail for an owner: default privileges that are not declared. */
async function freeOwners(
  deployment: Deployment,
  { owners }: Leftover,
  state: readonly StateResource[],
): Promise<void> {
  for (const database of deployment.manifest.databases)
    for (const owner of ownersIn(state, database).filter((name) => !owners.includes(name)))
      await whereverNamed(deployment.superuserOf(database), [owner], database.name, (client) =>
        client.query(`DROP OWNED BY ${escapeIdentifier(owner)}`),
      );
}

/**
 * The declared schemas that Terraform or an owner of its making has, and in a database that deploy made all else of the owner: the
 * database itself goes after its owner.
 */
async function deleteData(deployment: Deployment, state: readonly StateResource[]): Promise<void> {
  for (const database of deployment.manifest.databases) {
    const isMade = findResource(state, "postgresql_database", { name: database.name }) !== undefined;
    await asSuperuser(
      deployment.superuserOf(database),
      async (client) => {
        const owners = ownersIn(state, database);
        const { rows } = await client.query<{ name: string; owner: string }>(
          "SELECT nspname AS name, pg_get_userbyid(nspowner) AS owner FROM pg_namespace WHERE nspname = ANY ($1)",
          [database.schemas.filter(({ exists }) => !exists).map(({ name }) => name)],
        );
        for (const { name, owner } of rows)
          if (
            owners.includes(owner) ||
            findResource(state, "postgresql_schema", { name, database: database.name })
          )
            await client.query(`DROP SCHEMA ${escapeIdentifier(name)} CASCADE`);
        for (const owner of isMade ? owners : []) {
          const { rowCount } = await client.query("SELECT FROM pg_roles WHERE rolname = $1", [owner]);
          if (rowCount === 1) await client.query(`DROP OWNED BY ${escapeIdentifier(owner)} CASCADE`);
        }
      },
      database.name,
    );
  }
}
