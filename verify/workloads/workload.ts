import { appRoleWorkload } from "./approle";
import { leasesWorkload } from "./leases";
import { poolWorkload } from "./pool";
import type { WorkloadScene } from "./context";
import { usersWorkload } from "./users";

/** Runs what a database's manifest declares beside the matrix. Each of its checks is in the report. */
export function runWorkload(scene: WorkloadScene): Promise<void> {
  const { workload } = scene.database;
  switch (workload?.kind) {
    case undefined:
      return Promise.resolve();
    case "users":
      return usersWorkload(scene, workload);
    case "pool":
      return poolWorkload(scene, workload);
    case "leases":
      return leasesWorkload(scene, workload);
    case "approle":
      return appRoleWorkload(scene, workload);
  }
}
