import { describeChecks } from "../../verify/checks";
import { table } from "./table";

const INTRODUCTION = `# What verify checks

Every check that \`leasehold verify\` makes, as \`npx leasehold verify --list\` prints it. \`--only\` and \`--skip\` take ids,
separated by commas: \`npx leasehold verify --only tables.SELECT,public\`. What a check needs of others, such as a lease, is
made all the same, and is reported where it fails. Those of a persona are made for each persona.
`;

/** Every check there is, a table for each group. */
export function checksDocument(): string {
  const checks = describeChecks();
  const sections = [...new Set(checks.map(({ group }) => group))].map((group) => {
    const rows = checks
      .filter((check) => check.group === group)
      .map(({ id, title, proves }) => [`\`${id}\``, title === id ? "" : title, proves]);
    return `## ${group}\n\n${table(["id", "title", "what it proves"], rows)}`;
  });
  return [INTRODUCTION, ...sections].join("\n");
}
