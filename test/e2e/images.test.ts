import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { docker } from "./docker";
import { postgresImage, vaultImage } from "./images";
import { inDocker } from "./needs";
import { NAME as RUN_NAME } from "./one-run";
import { poll } from "./poll";

/** The part of the official images' interface that the platform relies on, of whichever images this machine has. */
const NAME = `${RUN_NAME}-image`;
const IMAGES_TIMEOUT_MILLISECONDS = 900_000;
const progress = (text: string) => process.stderr.write(`${text}\n`);

const logs = () => docker("logs", NAME);
const stop = () => docker("stop", "--time", "20", NAME);
const exitCode = () => docker("inspect", "--format", "{{.State.ExitCode}}", NAME);

afterEach(async () => {
  await docker("rm", "--force", "--volumes", NAME);
});

inDocker.describe(`the image of PostgreSQL${inDocker.because}`, () => {
  let folder: string;
  let passwordFile: string;
  let image: string;

  beforeAll(async () => {
    image = await postgresImage("18.4", progress);
    folder = mkdtempSync(join(tmpdir(), "leasehold-image-"));
    passwordFile = join(folder, "password");
    writeFileSync(passwordFile, "geheim");
    chmodSync(passwordFile, 0o444);
  }, IMAGES_TIMEOUT_MILLISECONDS);

  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  test("initialises with a server on the socket alone, then is the real one, and stops cleanly", async () => {
    const env = [
      "POSTGRES_USER=ada",
      "POSTGRES_DB=love-lace",
      "POSTGRES_PASSWORD_FILE=/run/secrets/password",
    ];
    await docker(
      ...["run", "--detach", "--name", NAME, "--user", "999:999", "--read-only"],
      ...["--tmpfs", "/tmp", "--tmpfs", "/var/run/postgresql:uid=999,gid=999,mode=0775"],
      ...["--volume", `${passwordFile}:/run/secrets/password:ro`],
      ...env.flatMap((variable) => ["--env", variable]),
      image,
    );
    await poll(() => docker("exec", NAME, "pg_isready", "-q", "-h", "127.0.0.1"));
    const [during, after] = (await logs()).split("PostgreSQL init process complete") as [string, string];
    expect(during).toContain("database system is ready to accept connections");
    expect(during).not.toMatch(/listening on IP/);
    expect(after).toContain('listening on IPv4 address "0.0.0.0", port 5432');
    const sql = "SELECT current_database(), current_setting('data_directory')";
    const answer = await docker("exec", NAME, "psql", "-U", "ada", "-d", "love-lace", "-Atc", sql);
    expect(answer).toBe("love-lace|/var/lib/postgresql/18/docker");
    await stop();
    expect(await exitCode()).toBe("0");
    expect((await logs()).trim()).toMatch(/database system is shut down$/);
  });

  test("refuses to start without a password", async () => {
    await docker("run", "--detach", "--name", NAME, image);
    await poll(async () => {
      expect(await exitCode()).toBe("1");
    });
    expect(await logs()).toContain("superuser password is not specified");
  });
});

inDocker.describe(`the image of Vault${inDocker.because}`, () => {
  let image: string;

  beforeAll(async () => {
    image = await vaultImage(progress);
  }, IMAGES_TIMEOUT_MILLISECONDS);

  test("has vault on PATH, and bao where it is OpenBao's", async () => {
    await docker("run", "--detach", "--name", NAME, image);
    const programs = image.includes("openbao") ? ["vault", "bao"] : ["vault"];
    for (const program of programs)
      expect(await docker("exec", NAME, program, "version")).toMatch(/^(OpenBao|Vault) v/);
  });

  test("server reads VAULT_LOCAL_CONFIG, as the user 100:1000", async () => {
    const config = {
      disable_mlock: true,
      listener: { tcp: { address: "0.0.0.0:8300", tls_disable: true } },
      storage: { inmem: {} },
    };
    await docker(
      ...["run", "--detach", "--name", NAME, "--user", "100:1000"],
      ...["--env", "SKIP_SETCAP=1", "--env", `VAULT_LOCAL_CONFIG=${JSON.stringify(config)}`],
      ...["--env", "VAULT_ADDR=http://127.0.0.1:8300", image, "server"],
    );
    await poll(async () => {
      const status = await docker("exec", NAME, "sh", "-c", "vault status; [ $? = 2 ]");
      expect(status).toMatch(/Initialized +false/);
    });
    expect(await docker("exec", NAME, "stat", "-c", "%u:%g", "/vault/config/local.json", "/vault/file")).toBe(
      "100:1000\n100:1000",
    );
    await stop();
    expect(await exitCode()).toBe("0");
  });

  test("server -dev takes its token and address from the environment", async () => {
    await docker(
      ...["run", "--detach", "--name", NAME, "--cap-add", "IPC_LOCK"],
      ...["--env", "VAULT_DEV_ROOT_TOKEN_ID=geheim", "--env", "VAULT_DEV_LISTEN_ADDRESS=0.0.0.0:8300"],
      ...[
        "--env",
        "VAULT_ADDR=http://127.0.0.1:8300",
        "--env",
        "VAULT_TOKEN=geheim",
        image,
        "server",
        "-dev",
      ],
    );
    await poll(async () => {
      expect(await docker("exec", NAME, "vault", "token", "lookup")).toMatch(/policies +\[root\]/);
    });
  });
});
