import { holderOf } from "../../manifest/names";
import type { SchemaObjectKind } from "../../manifest/object-kinds";
import { privilegesIn } from "../../manifest/privileges";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import { ownRoles } from "./declared";
import { grantsTo } from "./grants";

const KINDS = ["tables", "sequences", "functions"] satisfies SchemaObjectKind[];

/** By the catalogs alone: the verifier can't make anything as a creator, whose login is its own. */
export async function creatorsDefaults(
  { owner: catalogs, database: { schemas, personas } }: DatabaseContext,
  check: Check,
): Promise<void> {
  const groups = personas.flatMap(ownRoles);
  const later = (await grantsTo(catalogs, groups)).filter((grant) => grant.later);
  check.note("aclexplode of every default ACL", `${String(later.length)} privileges of the personas' groups`);
  for (const { name: schema, creators = [] } of schemas)
    for (const creator of creators)
      for (const persona of personas)
        for (const kind of KINDS) {
          const given = later
            .filter((grant) => grant.schema === schema && grant.owner === creator && grant.kind === kind)
            .filter(({ grantee, privilege }) => grantee === holderOf(persona, privilege))
            .map(({ privilege }) => privilege);
          const missing = privilegesIn(persona, schema)[kind].filter(
            (privilege) => !given.includes(privilege),
          );
          for (const role of ownRoles(persona)) {
            const lacking = missing.filter((privilege) => holderOf(persona, privilege) === role);
            if (lacking.length > 0)
              check.find(
                `no default privileges of ${creator} in ${schema} grant ${role} ${lacking.join(", ")} on ${kind}`,
              );
          }
        }
}
