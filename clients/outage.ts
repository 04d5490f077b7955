/** A server that does not answer or accepts no login, so that further attempts would prove nothing. The message is one line. */
export class Outage extends Error {
  override readonly name: string = "Outage";
}
