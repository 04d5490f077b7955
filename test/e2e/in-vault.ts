import { VaultError, type VaultClient } from "../../clients/vault-client";

const ITS_OWN = ["leases of auth/", "cubbyhole/", "identity/", "sys/", "token/", "default", "root"];

/** What a Vault has that it did not come with, to somebody who may see all: leases but for the tokens', mounts, policies. */
export async function inVault(root: VaultClient): Promise<string[]> {
  const list = async (path: string) => {
    const answer = await root.request("LIST", path);
    if (answer.status >= 400 && answer.status !== 404) throw new VaultError(answer);
    return (answer.body.data?.["keys"] ?? []) as string[];
  };
  const keys = async (path: string) => Object.keys((await root.call("GET", path)).data!);
  const all = [
    ...(await list("sys/leases/lookup")).map((prefix) => `leases of ${prefix}`),
    ...(await keys("sys/mounts")),
    ...(await keys("sys/auth")),
    ...(await list("sys/policies/acl")),
  ];
  return all.filter((name) => !ITS_OWN.includes(name));
}
