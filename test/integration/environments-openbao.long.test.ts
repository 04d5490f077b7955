import { POSTGRES_MAJORS } from "../../sandbox/postgres-binaries";
import { machinesVault, openBao } from "../../sandbox/vault-binary";
import { ENVIRONMENTS, holds } from "../support/environment";
import { unless } from "../support/skip";

const { describe: beside, because } = unless(!machinesVault() && "OpenBao is what the others are with");

beside(`OpenBao as well, where the machine has its own Vault${because}`, () => {
  test.each(POSTGRES_MAJORS)(
    "every environment on PostgreSQL %i",
    async (postgresMajor) => {
      for (const env of ENVIRONMENTS) await holds(env, { postgresMajor, vaultBinary: await openBao() });
    },
    600_000,
  );
});
