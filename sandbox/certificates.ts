import { KeyObject, randomUUID, webcrypto } from "node:crypto";
import type * as X509 from "@peculiar/x509";

/** What a server shows and what its clients trust, as PEM texts. */
export interface ServerTls {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MILLISECONDS = 86_400_000;
/** Longer than any sandbox is kept. */
const VALID_DAYS = 30;

/** An authority of one sandbox's own. Its key stays in this program's memory. */
export class CertificateAuthority {
  static async create(): Promise<CertificateAuthority> {
    // Only where a server is encrypted: loading takes as long as starting one. The polyfill comes first.
    await import("reflect-metadata");
    const x509 = await import("@peculiar/x509");
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      // One of its own for each: where two have the same name, a client takes the wrong one for the right one, forged.
      name: `CN=Leasehold sandbox ${randomUUID()}`,
      keys,
      ...validity(),
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      ],
    });
    return new CertificateAuthority(x509, keys.privateKey, certificate);
  }

  private constructor(
    private readonly x509: typeof X509,
    private readonly key: webcrypto.CryptoKey,
    private readonly root: X509.X509Certificate,
  ) {}

  /** As PEM text. */
  get certificate(): string {
    return pem(this.root);
  }

  /** For a server on 127.0.0.1 or ::1, which are localhost as well, or for a client. */
  async issue(usage: "serverAuth" | "clientAuth" = "serverAuth"): Promise<ServerTls> {
    const { x509 } = this;
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      subject: "CN=localhost",
      issuer: this.root.subject,
      publicKey: keys.publicKey,
      signingKey: this.key,
      ...validity(),
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage[usage]]),
        new x509.SubjectAlternativeNameExtension([
          { type: "dns", value: "localhost" },
          { type: "ip", value: "127.0.0.1" },
          { type: "ip", value: "::1" },
        ]),
      ],
    });
    const key = KeyObject.from(keys.privateKey).export({ type: "pkcs8", format: "pem" });
    return { certificate: pem(certificate), key: key.toString(), ca: this.certificate };
  }
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

/** From yesterday on, since clocks differ. */
function validity(): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return {
    notBefore: new Date(now - DAY_MILLISECONDS),
    notAfter: new Date(now + VALID_DAYS * DAY_MILLISECONDS),
  };
}

function pem(certificate: X509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}
