/** Fields, and arguments of Terraform's backends, that hold a secret or where somebody could take one to belong. */
const SECRET =
  /passw|secret(?!_suffix)|token|unseal|credential|(access|account|client|customer|private)_key|(?<!kms_)encryption_key|http_auth/i;
/** Before the host of an address, or among libpq's parameters. */
const CREDENTIALS = /:\/\/[^/?#\s]*@|\b(ssl)?password\s*=/i;
/** In the query of an address, which a percent sign spells as well. */
const SIGNATURE = /^(.*auth.*|.*signature|sig|sas|jwt|pat|pwd|code|.*api_?-?key)$/i;

export function isSecretName(name: string): boolean {
  return SECRET.test(name);
}

/** Whether a text is an address, or libpq's parameters, with something that lets somebody in. */
export function holdsCredentials(text: string): boolean {
  const [, query = ""] = /\?([^#]*)/.exec(text) ?? [];
  const names = [...new URLSearchParams(query.replaceAll(";", "&")).keys()];
  return CREDENTIALS.test(text) || names.some((name) => SECRET.test(name) || SIGNATURE.test(name));
}
