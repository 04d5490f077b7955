import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { table } from "./table";

const FOLDER = join(__dirname, "../../constructs");

const INTRODUCTION = `# Constructs

What [stacks/](../stacks/) is built of, for a stack of your own. Each takes \`(scope, id, props)\`; both sides may stand in one
stack or in two of which Vault's depends on PostgreSQL's. test/unit/one-stack.test.ts is a whole app in thirty lines.
`;

const ROOMS = [
  { folder: "", title: "Both sides" },
  { folder: "postgres", title: "PostgreSQL" },
  { folder: "vault", title: "Vault" },
  { folder: "docker", title: "Containers" },
];

/** The classes of constructs/, each with what it is, its properties and what can be done with it. */
export function constructsDocument(): string {
  const rooms = ROOMS.map(({ folder, title }) => {
    const files = readdirSync(join(FOLDER, folder)).filter((file) => file.endsWith(".ts"));
    const sections = files.sort().flatMap((file) => classesOf(join(folder, file)));
    return [`## ${title}\n`, ...sections].join("\n");
  });
  return [INTRODUCTION, ...rooms].join("\n");
}

type Class = ts.ClassDeclaration & { readonly name: ts.Identifier };

function classesOf(file: string): string[] {
  const source = ts.createSourceFile(
    file,
    readFileSync(join(FOLDER, file), "utf8"),
    ts.ScriptTarget.ES2022,
    true,
  );
  const interfaces = new Map(
    source.statements.filter(ts.isInterfaceDeclaration).map((each) => [each.name.text, each]),
  );
  return source.statements
    .filter(
      (each): each is Class => ts.isClassDeclaration(each) && isExported(each) && each.name !== undefined,
    )
    .map((each) => section(file, each, interfaces));
}

function section(
  file: string,
  declared: Class,
  interfaces: ReadonlyMap<string, ts.InterfaceDeclaration>,
): string {
  const name = declared.name.text;
  const props = interfaces.get(`${name}Props`)?.members.filter(ts.isPropertySignature) ?? [];
  // What a class has from an abstract one of its file is its own to a reader.
  const parents = (declared.heritageClauses ?? []).flatMap(({ types }) =>
    types.map(({ expression }) => expression.getText()),
  );
  const inherited = declared
    .getSourceFile()
    .statements.filter((each) => ts.isClassDeclaration(each) && parents.includes(each.name?.text ?? ""))
    .flatMap((each) => [...(each as Class).members]);
  const methods = [...declared.members, ...inherited]
    .filter((member) => ts.isMethodDeclaration(member) && !isHidden(member))
    .map((member) => member as ts.MethodDeclaration)
    .filter((method) => documentation(method) !== "");
  return [
    `### ${name}\n`,
    `\`constructs/${file}\`. ${documentation(declared)}\n`,
    ...(props.length > 0
      ? [
          `${table(
            ["property", "type", "what it is", "without it"],
            props.map((prop) => [
              `\`${prop.name.getText()}\``,
              `\`${(prop.type?.getText() ?? "").replace(/\s*\/\*\*.*?\*\/\s*/gs, " ").replace(/\s+/g, " ")}\``,
              documentation(prop),
              prop.questionToken ? defaultOf(prop) : "required",
            ]),
          )}\n`,
        ]
      : []),
    ...methods.map((method) => {
      const owner = isStatic(method) ? `${name}.` : "";
      const parameters = method.parameters.map(
        (each) => `${each.dotDotDotToken ? "…" : ""}${parameterName(each)}`,
      );
      return `- \`${owner}${method.name.getText()}(${parameters.join(", ")})\`: ${documentation(method)}`;
    }),
    ...(methods.length > 0 ? [""] : []),
  ].join("\n");
}

/** A pattern is named after its type: \`props\`, \`names\`. */
function parameterName({ name, type }: ts.ParameterDeclaration): string {
  if (ts.isIdentifier(name)) return name.text;
  return /names/i.test(type?.getText() ?? "") ? "names" : "props";
}

function isExported(node: ts.ClassDeclaration): boolean {
  return (ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Export) !== 0;
}

function isHidden(member: ts.ClassElement): boolean {
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  return (ts.getCombinedModifierFlags(member) & hidden) !== 0;
}

function isStatic(member: ts.ClassElement): boolean {
  return (ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Static) !== 0;
}

function documentation(node: ts.Node): string {
  const comments = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  return plain(ts.getTextOfJSDocComment(comments[0]?.comment) ?? "");
}

function defaultOf(node: ts.Node): string {
  const tag = ts.getJSDocTags(node).find(({ tagName }) => tagName.text === "default");
  return plain(ts.getTextOfJSDocComment(tag?.comment) ?? "").replace(/^- /, "");
}

function plain(text: string): string {
  return text
    .replace(/\{@link ([^}]+)\}/g, "`$1`")
    .replace(/\s+/g, " ")
    .trim();
}
