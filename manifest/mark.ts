export { leaseMark, REVOKED } from "./names";
