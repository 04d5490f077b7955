import approle from "../../config/approle";
import type { EnvironmentInput } from "../../config/schema/schema";

/** The environment approle, whose leases are made by CREATEROLE: both ways of one deployment, static roles too. */
const createRole: EnvironmentInput = { ...approle, name: "createrole", leases: "createrole" };

export default createRole;
