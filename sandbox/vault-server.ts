import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { send } from "../clients/http";
import type { ServerTls } from "./certificates";
import { freePort, PORT_TRIES } from "./free-port";
import { SetupError } from "../clients/setup-error";
import { until } from "../clients/within";
import type { VaultBinary } from "./vault-binary";
import { hasEnded, stopChild, type Workspace } from "./workspace";

const NAME = "vault";
const START_TIMEOUT_MILLISECONDS = 30_000;
const ANSWER_TIMEOUT_MILLISECONDS = 5_000;
/** Each answer of a server has it: somebody else's, who took the port, is never taken for it. */
const SERVER_HEADER = "x-leasehold-sandbox";

/** A Vault server in server mode with storage in memory, listening on 127.0.0.1 alone; neither initialised nor unsealed. */
export class VaultServer {
  /** @param tls without it, nothing is encrypted */
  static async start(workspace: Workspace, binary: VaultBinary, tls?: ServerTls): Promise<VaultServer> {
    for (let tries = 1; ; tries += 1) {
      const port = await freePort();
      const address = `${tls ? "https" : "http"}://127.0.0.1:${String(port)}`;
      const id = randomUUID();
      const child = await workspace.spawn(NAME, binary.path, [
        "server",
        `-config=${configure(workspace, address, id, tls)}`,
      ]);
      const isUp = await until(START_TIMEOUT_MILLISECONDS, () => answers(address, id, tls?.ca), {
        goesOn: () => !hasEnded(child),
      });
      if (isUp) return new VaultServer(workspace, child, address, binary.product, binary.version, tls?.ca);
      const ended = hasEnded(child);
      await stopChild(child, "SIGKILL", 0);
      if (!ended || tries === PORT_TRIES) {
        throw new SetupError(`${binary.product} (${binary.path}) did not start: ${workspace.lastLine(NAME)}`);
      }
    }
  }

  private constructor(
    private readonly workspace: Workspace,
    private readonly child: ChildProcess,
    readonly address: string,
    /** `Vault` or `OpenBao`. */
    readonly product: string,
    /** Such as `2.7.2`. */
    readonly version: string,
    /** Of the authority that its certificate is from, as PEM text. */
    readonly ca?: string,
  ) {}

  /** Such as `OpenBao 2.7.2`. */
  get label(): string {
    return `${this.product} ${this.version}`;
  }

  get logFile(): string {
    return this.workspace.logFile(NAME);
  }

  /** At once: what it stores is in memory and gone with it. */
  stop(): Promise<void> {
    return stopChild(this.child, "SIGKILL", 0);
  }
}

/** Whether this very server answers, whatever its state: an uninitialised one says 501. */
function answers(address: string, id: string, ca?: string): Promise<true | undefined> {
  return send(`${address}/v1/sys/health`, {
    method: "GET",
    ca,
    timeoutMilliseconds: ANSWER_TIMEOUT_MILLISECONDS,
  }).then(
    ({ headers }) => headers[SERVER_HEADER] === id || undefined,
    () => undefined,
  );
}

/**
 * Taken by HashiCorp's Vault and by OpenBao alike
 * (https://developer.hashicorp.com/vault/docs/configuration/listener/tcp#custom_response_headers).
 */
function configure(workspace: Workspace, address: string, id: string, tls?: ServerTls): string {
  const file = workspace.path("vault.json");
  const [certificate, key] = [workspace.path("vault.crt"), workspace.path("vault.key")];
  if (tls) {
    writeFileSync(certificate, tls.certificate, { mode: 0o600 });
    writeFileSync(key, tls.key, { mode: 0o600 });
  }
  const config = {
    storage: { inmem: {} },
    listener: {
      tcp: {
        address: new URL(address).host,
        ...(tls ? { tls_cert_file: certificate, tls_key_file: key } : { tls_disable: true }),
        custom_response_headers: { default: { [SERVER_HEADER]: [id] } },
      },
    },
    api_addr: address,
    disable_mlock: true,
    ui: false,
  };
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}
