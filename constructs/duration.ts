const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/**
 * A length of time in whole seconds, Vault's resolution.
 * The notation is Vault's duration format with one unit: `30s`, `20m`, `24h`, `7d`
 * (https://developer.hashicorp.com/vault/docs/concepts/duration-format).
 */
export class Duration {
  /** What {@link Duration.parse} takes, in words for a message. */
  static readonly FORMAT = 'a duration such as "30s", "20m", "24h" or "7d"';

  static seconds(amount: number): Duration {
    if (!Number.isSafeInteger(amount) || amount <= 0) {
      throw new Error(`a duration must be a positive whole number of seconds, received ${String(amount)}`);
    }
    return new Duration(amount);
  }

  static minutes(amount: number): Duration {
    return Duration.seconds(amount * UNITS.m);
  }

  static hours(amount: number): Duration {
    return Duration.seconds(amount * UNITS.h);
  }

  /** Returns undefined when the text is not a duration, so that a caller can name the field in its message. */
  static parse(text: string): Duration | undefined {
    const match = /^([1-9][0-9]{0,8})([smhd])$/.exec(text);
    return match ? new Duration(Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]) : undefined;
  }

  private constructor(private readonly amount: number) {}

  toSeconds(): number {
    return this.amount;
  }

  isShorterThan(other: Duration): boolean {
    return this.amount < other.amount;
  }

  /** In the largest unit that holds it whole. */
  toString(): string {
    const [unit, size] = (Object.entries(UNITS) as [string, number][]).findLast(
      ([, seconds]) => this.amount % seconds === 0,
    )!;
    return `${String(this.amount / size)}${unit}`;
  }
}
