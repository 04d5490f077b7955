import type { Deployment } from "./deployment";
export async function adopt(_d: Deployment, _p: (t: string) => void): Promise<void> {
  await Promise.resolve();
}
