import { join } from "node:path";
import { checkVaultAddress } from "../../../ops/vault/address";
import { temporaryFolder } from "../../support/folder";
import { messages, Program, ROOT } from "../../support/program";

/** What is printed, and may stand in a log that others read. */
const SECRET = "hunter2";

test.each(["init", "rotate", "env", "verify"])(
  "leasehold %s refuses a VAULT_ADDR with a password and does not print it",
  async (command) => {
    const { folder, remove } = temporaryFolder();
    const file = join(ROOT, "package.json");
    const program = new Program([command], {
      LEASEHOLD_ENV: "external",
      XDG_CONFIG_HOME: folder,
      TF_VAR_postgres_host: "127.0.0.1",
      TF_VAR_postgres_sslrootcert: file,
      TF_VAR_postgres_superuser_password: "not-needed",
      VAULT_CACERT: file,
      VAULT_TOKEN: "not-needed",
      VAULT_ADDR: `http://user:${SECRET}@127.0.0.1:1`,
    });
    expect(await program.ended).toBe(2);
    expect(program.output).not.toContain(SECRET);
    expect(messages(program.output)).toEqual([
      expect.stringMatching(/^VAULT_ADDR must be an address and nothing else: /),
    ]);
    remove();
  },
);

test.each([
  "http://token@vault:8200",
  "https://vault:8200/?access_token=hunter2",
  "https://vault:8200#hunter2",
  "user:hunter2@vault:8200",
  "http:user:hunter2@vault",
  "http:\\\\user:hunter2@vault",
  "https://user:pa#hunter2@vault",
  "vault:8200",
  "unix:///run/vault.sock",
  "http://",
  "https://vault:port",
])("%s is not taken for an address, nor repeated", (value) => {
  expect(() => {
    checkVaultAddress("VAULT_ADDR", value);
  }).toThrow(
    "VAULT_ADDR must be an address and nothing else: set it to Vault's, such as https://vault.example.com:8200, without user, password or query (a token goes into VAULT_TOKEN)",
  );
});

test.each([
  "http://127.0.0.1:8200",
  "https://vault.example.com",
  "https://[::1]:8200/",
  "https://proxy/vault",
])("%s is an address", (value) => {
  expect(() => {
    checkVaultAddress("VAULT_ADDR", value);
  }).not.toThrow();
});
