import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  type Stats,
} from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { SetupError } from "../../clients/setup-error";
import type { Input } from "../../manifest/inputs";
import type { TrustToken } from "../../manifest/names";

const UNSEAL_KEYS = "unseal-keys";
const ROOT_TOKEN = "root-token";
const PUBLIC_PRIVILEGES = "public-privileges.json";
const DEPLOYED_ACCESS = "deployed-access.json";
const DEV_TOKEN = "vault-dev-token";
const MOUNTED_DEV_TOKEN = "vault-dev-token-mounted";

/**
 * An environment's secrets, outside the repository: `$XDG_CONFIG_HOME/leasehold/<environment>/`, a file each, readable by
 * their owner alone (https://specifications.freedesktop.org/basedir-spec/latest/).
 */
export class Home {
  /**
   * The folder is made with the first secret: who only reads leaves no trace.
   * @throws SetupError when it is not its user's own, or others can read it
   */
  static open(environment: string): Home {
    if (!/^[A-Za-z0-9][\w-]*$/.test(environment)) {
      throw new SetupError(
        `environment: received ${JSON.stringify(environment)}, allowed: letters, digits, _ and -`,
      );
    }
    const configured = process.env["XDG_CONFIG_HOME"];
    // A relative path is to be ignored, says the specification.
    const base = configured && isAbsolute(configured) ? configured : join(homedir(), ".config");
    const folder = join(base, "leasehold", environment);
    if (lstatSync(folder, { throwIfNoEntry: false })) checkHome(folder);
    return new Home(folder);
  }

  private constructor(readonly folder: string) {}

  /** The value of a password's Terraform variable: the one in `TF_VAR_<variable>`, else a random one that stays. */
  password(variable: string): string {
    const given = process.env[`TF_VAR_${variable}`];
    if (given) return given;
    return this.read(variable) ?? this.create(variable, randomBytes(24).toString("base64url"));
  }

  /**
   * The file that PostgreSQL's container has mounted, with the superuser's password and nothing else.
   * @param variable the password's
   */
  passwordFile(server: string, variable: string): string {
    return this.mounted(`${server}-password`, this.password(variable));
  }

  /** The root token that a Vault in dev mode is started with; undefined before {@link devTokenFile} was called. */
  devToken(): string | undefined {
    return this.read(DEV_TOKEN);
  }

  /** The file that a dev mode's container has mounted, with its root token and nothing else. */
  devTokenFile(): string {
    const token = this.devToken() ?? this.create(DEV_TOKEN, `dev-${randomBytes(24).toString("hex")}`);
    return this.mounted(MOUNTED_DEV_TOKEN, token);
  }

  token(who: TrustToken): string | undefined {
    return this.read(`${who}-token`);
  }

  setToken(who: TrustToken, token: string): void {
    this.write(`${who}-token`, token);
  }

  removeToken(who: TrustToken): void {
    rmSync(join(this.folder, `${who}-token`), { force: true });
  }

  /** The names of the files in it. */
  files(): string[] {
    return existsSync(this.folder) ? readdirSync(this.folder).sort() : [];
  }

  /** A root token that is still to be revoked: who made it was ended before. */
  rootToken(): string | undefined {
    return this.read(ROOT_TOKEN);
  }

  setRootToken(token: string): void {
    this.write(ROOT_TOKEN, token);
  }

  removeRootToken(): void {
    rmSync(join(this.folder, ROOT_TOKEN), { force: true });
  }

  /** What PUBLIC had before the first deploy, as JSON: no secret, but known nowhere else. */
  publicPrivileges(): string | undefined {
    return this.read(PUBLIC_PRIVILEGES);
  }

  setPublicPrivileges(text: string): void {
    this.write(PUBLIC_PRIVILEGES, text);
  }

  removePublicPrivileges(): void {
    rmSync(join(this.folder, PUBLIC_PRIVILEGES), { force: true });
  }

  /** The access.json of the last deploy from here, and when that was: for diff. */
  deployedAccess(): { text: string; at: Date } | undefined {
    const text = this.read(DEPLOYED_ACCESS);
    return text === undefined ? undefined : { text, at: statSync(this.deployedAccessFile).mtime };
  }

  get deployedAccessFile(): string {
    return join(this.folder, DEPLOYED_ACCESS);
  }

  setDeployedAccess(text: string): void {
    this.write(DEPLOYED_ACCESS, text);
  }

  removeDeployedAccess(): void {
    rmSync(join(this.folder, DEPLOYED_ACCESS), { force: true });
  }

  get unsealKeysFile(): string {
    return join(this.folder, UNSEAL_KEYS);
  }

  unsealKeys(): string[] | undefined {
    return this.read(UNSEAL_KEYS)?.split("\n");
  }

  /** @throws SetupError when nothing can be written, or what is there not be read: to be known before there are new keys. */
  checkWritable(): void {
    this.unsealKeys();
    this.rootToken();
    rmSync(this.writeBeside("check", randomBytes(4096).toString("hex"), 0o600));
  }

  /** The keys of before, which may still be another Vault's, stay beside the new ones. */
  setUnsealKeys(keys: readonly string[]): void {
    const before = this.read(UNSEAL_KEYS);
    if (before) this.write(`${UNSEAL_KEYS}.previous`, before);
    this.write(UNSEAL_KEYS, keys.join("\n"));
  }

  /**
   * A server in a container runs as another user, so the file is readable for all; its folder is accessible to its owner alone.
   * Left as it is while its content is right: a mount follows the file, not its name.
   */
  private mounted(name: string, secret: string): string {
    const file = join(this.folder, name);
    const holds = existsSync(file) && attempt(file, () => readFileSync(file, "utf8")) === secret;
    if (!holds) this.write(name, secret, 0o444);
    return file;
  }

  /** A password, or the path of a file that a container has mounted, where it is here already. */
  existing({ variable, for: purpose, server }: Input): string | undefined {
    switch (purpose) {
      case "superuser-password":
      case "manager-password":
        return this.read(variable);
      // A mount's source is a path, and a difference where it is another one.
      case "superuser-password-file":
        return this.pathOf(`${server!}-password`);
      case "vault-dev-token-file":
        return this.pathOf(MOUNTED_DEV_TOKEN);
      default:
        return undefined;
    }
  }

  private pathOf(name: string): string | undefined {
    const file = join(this.folder, name);
    return existsSync(file) ? file : undefined;
  }

  private read(name: string): string | undefined {
    const file = join(this.folder, name);
    if (!existsSync(file)) return undefined;
    return attempt(file, () => {
      const descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
      try {
        check(file, fstatSync(descriptor), 0o077);
        return readFileSync(descriptor, "utf8").trim();
      } finally {
        closeSync(descriptor);
      }
    });
  }

  /** Where two programs create a file at the same time, the first one's stays. */
  private create(name: string, text: string): string {
    const file = join(this.folder, name);
    const whole = this.writeBeside(name, text, 0o600);
    try {
      linkSync(whole, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw failed(file, error);
    } finally {
      rmSync(whole);
    }
    return this.read(name)!;
  }

  private write(name: string, text: string, mode = 0o600): void {
    const file = join(this.folder, name);
    const whole = this.writeBeside(name, text, mode);
    attempt(file, () => {
      renameSync(whole, file);
    });
  }

  /** On the disk before it gets its name: unseal keys exist nowhere else. */
  private writeBeside(name: string, text: string, mode: number): string {
    attempt(this.folder, () => mkdirSync(this.folder, { recursive: true, mode: 0o700 }));
    checkHome(this.folder);
    const file = join(this.folder, `.${name}-${randomBytes(6).toString("hex")}`);
    return attempt(file, () => {
      const descriptor = openSync(file, "wx", 0o600);
      try {
        writeFileSync(descriptor, text);
        fsyncSync(descriptor);
      } catch (error) {
        rmSync(file);
        throw error;
      } finally {
        closeSync(descriptor);
      }
      // The mode of a new file depends on the umask.
      chmodSync(file, mode);
      return file;
    });
  }
}

function checkHome(folder: string): void {
  // Whoever can write the parent can put another folder in its place.
  checkFolder(dirname(folder), 0o022);
  checkFolder(folder, 0o077);
}

function checkFolder(folder: string, forbidden: number): void {
  const found = attempt(folder, () => lstatSync(folder));
  if (!found.isDirectory()) throw new SetupError(`${folder} is not a folder: move it away`);
  check(folder, found, forbidden);
}

function check(path: string, { uid, mode }: Stats, forbidden: number): void {
  if (uid !== process.getuid?.()) {
    throw new SetupError(`${path} belongs to another user (${String(uid)}): run leasehold as that user`);
  }
  if ((mode & forbidden) !== 0) {
    const rights = (mode & 0o777).toString(8).padStart(4, "0");
    throw new SetupError(
      `${path} holds secrets and is accessible to others (mode ${rights}): chmod ${forbidden === 0o022 ? "go-w" : "go="} ${path}`,
    );
  }
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw failed(path, error);
  }
}

function failed(path: string, error: unknown): SetupError {
  if (error instanceof SetupError) return error;
  return new SetupError(`${path} can't be used: ${(error as Error).message}`);
}
