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
type Type = ts.InterfaceDeclaration | ts.TypeAliasDeclaration;
type Types = ReadonlyMap<string, Type>;

/** The classes of constructs/ and what makes values of a type, each with what it is, its properties and what can be done with it. */
export function constructsDocument(): string {
  const sources = readdirSync(FOLDER, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .sort()
    .map((file) =>
      ts.createSourceFile(file, readFileSync(join(FOLDER, file), "utf8"), ts.ScriptTarget.ES2022, true),
    );
  const types = new Map(
    sources.flatMap(({ statements }) => statements.filter(isType).map((each) => [each.name.text, each])),
  );
  const rooms = Object.entries(ROOMS).map(([folder, title]) => {
    const inRoom = sources.filter(({ fileName }) => dirname(fileName) === folder);
    const sections = inRoom.flatMap(({ statements }) => [
      ...statements.filter(isPublicClass).map((each) => classSection(each, types)),
      ...statements.filter(ts.isVariableStatement).flatMap((each) => makerSections(each, types)),
    ]);
    return [`## ${title}\n`, ...sections].join("\n");
  });
  return [INTRODUCTION, ...rooms].join("\n");
}

function classSection(declared: Class, types: Types): string {
  const name = declared.name.text;
  const { statements } = declared.getSourceFile();
  // What a class has from an abstract one of its file is its own to a reader, and what an interface says of it.
  const parents = ancestors(declared);
  const family = [
    declared,
    ...statements.filter(ts.isClassDeclaration).filter((each) => parents.includes(each.name!.text)),
  ];
  const interfaces = family.flatMap(ancestors).flatMap((parent) => types.get(parent) ?? []);
  const described = (method: ts.MethodDeclaration) =>
    documentation(method) || interfaces.map((each) => memberDocumentation(each, method)).join("");
  const methods = family
    .flatMap(({ members }) => members.filter(ts.isMethodDeclaration))
    .filter((method) => !isHidden(method) && described(method) !== "")
    .map((method) => {
      const prefix = has(method, ts.ModifierFlags.Static) ? `${name}.` : "";
      return `- \`${prefix}${signature(method.name, method)}\`: ${described(method)}\n`;
    });
  return section(declared, name, documentation(declared), propertiesOf(`${name}Props`, types), methods);
}

/** A constant with the name of a type, or of the interface that its values have, and a member for each way to make one. */
function makerSections({ declarationList }: ts.VariableStatement, types: Types): string[] {
  return declarationList.declarations.flatMap((declared) => {
    const name = declared.name.getText();
    const type = types.get(name) ?? types.get(`I${name}`);
    let value = declared.initializer;
    if (value && ts.isSatisfiesExpression(value)) value = value.expression;
    if (!type || !value || !ts.isObjectLiteralExpression(value)) return [];
    const members = value.properties.map((member) => {
      const made = ts.isPropertyAssignment(member) ? member.initializer : member;
      return `- \`${name}.${signature(member.name!, made)}\`: ${documentation(member)}\n`;
    });
    return [section(declared, name, documentation(type), propertiesOf(name, types), members)];
  });
}

function section(
  declared: ts.Node,
  name: string,
  description: string,
  props: readonly ts.PropertySignature[],
  members: readonly string[],
): string {
  const properties = table(
    ["property", "type", "what it is", "without it"],
    props.map((prop) => [
      `\`${prop.name.getText()}\``,
      `\`${(prop.type?.getText() ?? "").replace(/\/\*\*.*?\*\//gs, "")}\``,
      documentation(prop),
      prop.questionToken ? defaultOf(prop) : "required",
    ]),
  );
  return [
    `### ${name}\n\n\`constructs/${declared.getSourceFile().fileName}\`. ${description}\n`,
    ...(props.length > 0 ? [properties] : []),
    ...(members.length > 0 ? [members.join("")] : []),
  ].join("\n");
}

/** The classes and interfaces that a class names as its own. */
function ancestors({ heritageClauses }: ts.ClassDeclaration): string[] {
  return (heritageClauses ?? []).flatMap(({ types }) => types.map((type) => type.getText()));
}

function memberDocumentation(type: Type, { name }: ts.MethodDeclaration): string {
  const members = ts.isInterfaceDeclaration(type) ? [...type.members] : [];
  return members
    .filter((member) => member.name?.getText() === name.getText())
    .map(documentation)
    .join("");
}

/** Those of an interface, and those that it picks of others. */
function propertiesOf(name: string, types: Types): ts.PropertySignature[] {
  const declared = types.get(name);
  if (!declared || !ts.isInterfaceDeclaration(declared)) return [];
  const inherited = (declared.heritageClauses ?? []).flatMap((clause) =>
    clause.types.flatMap((type) => {
      const [of, picked] = (type.typeArguments ?? []).map((argument) => argument.getText());
      return propertiesOf(of ?? type.getText(), types).filter(
        (property) => picked === undefined || picked.includes(`"${property.name.getText()}"`),
      );
    }),
  );
  return [...declared.members.filter(ts.isPropertySignature), ...inherited];
}

/** With its parameters where it is called. */
function signature(name: ts.Node, made: ts.Node): string {
  if (!ts.isFunctionLike(made)) return name.getText();
  const parameters = made.parameters.map(({ name: parameter, dotDotDotToken }) =>
    // A pattern takes the props apart.
    ts.isIdentifier(parameter) ? `${dotDotDotToken ? "…" : ""}${parameter.text}` : "props",
  );
  return `${name.getText()}(${parameters.join(", ")})`;
}

function isType(node: ts.Statement): node is Type {
  return ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node);
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
