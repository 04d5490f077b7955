/** A server that has stopped to answer, or lets nobody in: whatever were tried next would tell nothing. One line. */
export class Outage extends Error {
  override readonly name: string = "Outage";
}
