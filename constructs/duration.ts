import { Op, Token } from "cdktf";
import { DeclarationError } from "./declaration-error";

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/**
 * A length of time in whole seconds, Vault's resolution. A Token, such as a number variable, is taken as it is.
 * The notation is Vault's duration format with one unit: `30s`, `20m`, `24h`, `7d`
 * (https://developer.hashicorp.com/vault/docs/concepts/duration-format).
 */
export class Duration {
  /** What {@link Duration.parse} takes, in words for a message. */
  static readonly FORMAT = 'a duration such as "30s", "20m", "24h" or "7d"';

  /** So many seconds. @throws DeclarationError where it is no positive whole number */
  static seconds(amount: number): Duration {
    return Duration.of(amount, UNITS.s);
  }

  /** So many minutes. @throws DeclarationError where it is no positive whole number of seconds */
  static minutes(amount: number): Duration {
    return Duration.of(amount, UNITS.m);
  }

  /** So many hours. @throws DeclarationError where it is no positive whole number of seconds */
  static hours(amount: number): Duration {
    return Duration.of(amount, UNITS.h);
  }

  /** Returns undefined when the text is not a duration, so that a caller can name the field in its message. */
  static parse(text: string): Duration | undefined {
    const match = /^([1-9][0-9]{0,8})([smhd])$/.exec(text);
    return match ? new Duration(Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]) : undefined;
  }

  private static of(amount: number, size: number): Duration {
    // Terraform computes what is known to it alone.
    if (Token.isUnresolved(amount))
      return new Duration(size === 1 ? amount : Token.asNumber(Op.mul(amount, size)));
    const seconds = amount * size;
    if (!Number.isSafeInteger(seconds) || seconds <= 0) {
      throw new DeclarationError(
        `a duration must be a positive whole number of seconds, received ${String(seconds)}`,
      );
    }
    return new Duration(seconds);
  }

  private constructor(private readonly amount: number) {}

  toSeconds(): number {
    return this.amount;
  }

  /** False where either is a Token, whose value is not known yet. */
  isShorterThan(other: Duration): boolean {
    const known = !Token.isUnresolved(this.amount) && !Token.isUnresolved(other.amount);
    return known && this.amount < other.amount;
  }

  /** In the largest unit that holds it whole; a Token in seconds. */
  toString(): string {
    if (Token.isUnresolved(this.amount)) return `${Token.asString(this.amount)}s`;
    const [unit, size] = (Object.entries(UNITS) as [string, number][]).findLast(
      ([, seconds]) => this.amount % seconds === 0,
    )!;
    return `${String(this.amount / size)}${unit}`;
  }
}
