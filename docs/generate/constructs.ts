import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";
import { table } from "./table";

const FOLDER = join(__dirname, "../../constructs");

const INTRODUCTION = `# Constructs

What [stacks/](../stacks/) are made of, for a stack of your own. Each takes \`(scope, id, props)\`. PostgreSQL's side and Vault's
may stand in one stack, or in two of which Vault's depends on PostgreSQL's.
[test/unit/one-stack.test.ts](../test/unit/one-stack.test.ts) is a whole app.
`;

const ROOMS = { ".": "Both sides", postgres: "PostgreSQL", vault: "Vault", docker: "Containers" };

type Class = ts.ClassDeclaration & { readonly name: ts.Identifier };
type Interfaces = ReadonlyMap<string, ts.InterfaceDeclaration>;

/** The classes of constructs/, each with what it is, its properties and what can be done with it. */
export function constructsDocument(): string {
  const sources = readdirSync(FOLDER, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .sort()
    .map((file) =>
      ts.createSourceFile(file, readFileSync(join(FOLDER, file), "utf8"), ts.ScriptTarget.ES2022, true),
    );
  const interfaces = new Map(
    sources.flatMap(({ statements }) =>
      statements.filter(ts.isInterfaceDeclaration).map((each) => [each.name.text, each]),
    ),
  );
  const rooms = Object.entries(ROOMS).map(([folder, title]) => {
    const inRoom = sources.filter(({ fileName }) => dirname(fileName) === folder);
    const sections = inRoom.flatMap(({ statements }) =>
      statements.filter(isPublicClass).map((each) => section(each, interfaces)),
    );
    return [`## ${title}\n`, ...sections].join("\n");
  });
  return [INTRODUCTION, ...rooms].join("\n");
}

function section(declared: Class, interfaces: Interfaces): string {
  const name = declared.name.text;
  const { fileName, statements } = declared.getSourceFile();
  const props = propertiesOf(`${name}Props`, interfaces);
  // What a class has from an abstract one of its file is its own to a reader.
  const parents = (declared.heritageClauses ?? []).flatMap(({ types }) =>
    types.map((type) => type.getText()),
  );
  const family = [
    declared,
    ...statements.filter(ts.isClassDeclaration).filter((each) => parents.includes(each.name!.text)),
  ];
  const methods = family
    .flatMap(({ members }) => members.filter(ts.isMethodDeclaration))
    .filter((method) => !isHidden(method) && documentation(method) !== "");
  const properties = table(
    ["property", "type", "what it is", "without it"],
    props.map((prop) => [
      `\`${prop.name.getText()}\``,
      `\`${(prop.type?.getText() ?? "").replace(/\/\*\*.*?\*\//gs, "")}\``,
      documentation(prop),
      prop.questionToken ? defaultOf(prop) : "required",
    ]),
  );
  const list = methods.map((method) => `- \`${signature(name, method)}\`: ${documentation(method)}\n`);
  return [
    `### ${name}\n\n\`constructs/${fileName}\`. ${documentation(declared)}\n`,
    ...(props.length > 0 ? [properties] : []),
    ...(list.length > 0 ? [list.join("")] : []),
  ].join("\n");
}

/** Those of an interface, and those that it picks of others. */
function propertiesOf(name: string, interfaces: Interfaces): ts.PropertySignature[] {
  const declared = interfaces.get(name);
  if (!declared) return [];
  const inherited = (declared.heritageClauses ?? []).flatMap(({ types }) =>
    types.flatMap((type) => {
      const [of, picked] = (type.typeArguments ?? []).map((argument) => argument.getText());
      return propertiesOf(of ?? type.getText(), interfaces).filter(
        (property) => picked === undefined || picked.includes(`"${property.name.getText()}"`),
      );
    }),
  );
  return [...declared.members.filter(ts.isPropertySignature), ...inherited];
}

function signature(className: string, method: ts.MethodDeclaration): string {
  const parameters = method.parameters.map(({ name, dotDotDotToken }) =>
    // A pattern takes the props apart.
    ts.isIdentifier(name) ? `${dotDotDotToken ? "…" : ""}${name.text}` : "props",
  );
  return `${has(method, ts.ModifierFlags.Static) ? `${className}.` : ""}${method.name.getText()}(${parameters.join(", ")})`;
}

function isPublicClass(node: ts.Statement): node is Class {
  return ts.isClassDeclaration(node) && has(node, ts.ModifierFlags.Export);
}

function isHidden(member: ts.ClassElement): boolean {
  return has(member, ts.ModifierFlags.Private | ts.ModifierFlags.Protected);
}

function has(node: ts.Declaration, flags: ts.ModifierFlags): boolean {
  return (ts.getCombinedModifierFlags(node) & flags) !== 0;
}

function documentation(node: ts.Node): string {
  const [comment] = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  return plain(comment?.comment);
}

function defaultOf(node: ts.Node): string {
  const tag = ts.getJSDocTags(node).find(({ tagName }) => tagName.text === "default");
  return plain(tag?.comment).replace(/^- /, "");
}

function plain(comment: ts.JSDoc["comment"]): string {
  const text = ts.getTextOfJSDocComment(comment) ?? "";
  return text.replace(/\{@link ([^}]+)\}/g, "`$1`").replace(/\s+/g, " ");
}
