import { SetupError } from "../../clients/setup-error";

/**
 * Refuses what is more than an address, since addresses are printed.
 * @param variable of the environment
 * @throws SetupError without the value
 */
export function checkVaultAddress(variable: string, value: string): void {
  if (/^https?:\/\/[!-~]+$/i.test(value) && !/[?#@\\]/.test(value) && URL.canParse(value)) return;
  throw new SetupError(
    `${variable} must be an address and nothing else: set it to Vault's, such as https://vault.example.com:8200, without user, password or query (a token goes into VAULT_TOKEN)`,
  );
}
