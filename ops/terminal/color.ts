/** https://no-color.org */
export function color(): boolean {
  return process.stdout.isTTY && !process.env["NO_COLOR"];
}
