import { describeChecks } from "../../verify/checks";
import { table } from "./table";

const INTRODUCTION = `# What verify checks

Every check that \`leasehold verify\` makes, a table for each group. \`npx leasehold verify --list\` prints id, group and what
it proves, in the order in which they are made. \`--only\` and \`--skip\` take ids, separated by commas:
\`npx leasehold verify --only tables.SELECT,public\`. What a check needs of others, such as a lease, is made all the same, and is
reported where it fails.

Those of the groups login, Vault's paths, lease, privileges, session and revocation are made for each persona, the others once for
a database. Of the group workload there are those with which a database's workload begins: \`users-\`, \`pool-\`, \`leases-\` or
\`approle-\`.
`;

/** Every check there is, a table for each group. */
export function checksDocument(): string {
  const checks = describeChecks();
  const sections = [...new Set(checks.map(({ group }) => group))].map((group) => {
    const rows = checks
      .filter((check) => check.group === group)
      .map(({ id, title, proves }) => [`\`${id}\``, title, proves]);
    return `## ${group}\n\n${table(["id", "title", "what it proves"], rows)}`;
  });
  return [INTRODUCTION, ...sections].join("\n");
}
