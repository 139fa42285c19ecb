/**
 * Reduces the declarations of a package to those that its exports need: all modules together have many more.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { compilerOf } from './bundle.mjs';

/**
 * @param root Where the compiler is installed.
 * @param from Where the declarations are.
 * @param entries Files in it, with slashes, such as `client/client.d.ts`.
 * @returns {Promise<Map<string, string>>} the content of each needed file, by its name.
 */
export async function neededTypes(root, from, entries) {
  const ts = await compilerOf(root);
  const files = new Map();
  const fileAt = (name) => {
    if (!files.has(name)) files.set(name, readTypes(ts, from, name));
    return files.get(name);
  };

  const keep = (file, statement) => {
    if (file.kept.has(statement)) return;
    file.kept.add(statement);
    if (ts.isExportDeclaration(statement) && statement.moduleSpecifier) return keepExported(file, statement);
    visit(statement);
    function visit(node) {
      if (ts.isIdentifier(node)) use(file, node.text);
      if (ts.isImportTypeNode(node)) {
        let { qualifier } = node;
        while (qualifier?.left) qualifier = qualifier.left;
        const other = resolve(file.name, node.argument.literal.text);
        if (other !== undefined && qualifier) need(fileAt(other), qualifier.text);
      }
      ts.forEachChild(node, visit);
    }
  };
  const keepExported = (file, { exportClause, moduleSpecifier }) => {
    const other = resolve(file.name, moduleSpecifier.text);
    if (other === undefined) return;
    if (exportClause) for (const { propertyName, name } of exportClause.elements) need(
      fileAt(other), (propertyName ?? name).text,
    );
    else for (const statement of fileAt(other).statements) keep(fileAt(other), statement);
  };
  const use = (file, name) => {
    for (const statement of file.declared.get(name) ?? []) keep(file, statement);
    const imported = file.imported.get(name);
    if (!imported) return;
    file.used.add(name);
    if (imported.file !== undefined) need(fileAt(imported.file), imported.name);
  };
  const need = (file, name) => {
    use(file, name);
    for (const statement of file.statements) {
      if (!ts.isExportDeclaration(statement)) continue;
      const names = statement.exportClause?.elements.map((element) => element.name.text);
      if (names === undefined || names.includes(name)) keep(file, statement);
    }
  };

  for (const entry of entries) for (const statement of fileAt(entry).statements) keep(fileAt(entry), statement);
  return new Map(
    [...files.values()].filter(({ kept }) => kept.size > 0).map((file) => [file.name, textOf(ts, file)]),
  );
}

function readTypes(ts, from, name) {
  const source = ts.createSourceFile(name, readFileSync(join(from, name), 'utf8'), ts.ScriptTarget.Latest, true);
  const file = {
    name, source, statements: [], imports: [],
    declared: new Map(), imported: new Map(), kept: new Set(), used: new Set(),
  };
  for (const statement of source.statements) {
    if (ts.isImportDeclaration(statement)) {
      file.imports.push(statement);
      const other = resolve(name, statement.moduleSpecifier.text);
      for (const element of statement.importClause?.namedBindings?.elements ?? []) {
        file.imported.set(element.name.text, { file: other, name: (element.propertyName ?? element.name).text });
      }
      continue;
    }
    file.statements.push(statement);
    const declared = ts.isVariableStatement(statement) ? statement.declarationList.declarations : [statement];
    for (const one of declared) if (one.name) file.declared.set(
      one.name.text, [...(file.declared.get(one.name.text) ?? []), statement],
    );
  }
  return file;
}

/** The declaration file of one of our modules; `undefined`: a module of Node. */
function resolve(name, specifier) {
  if (!specifier.startsWith('.')) return undefined;
  return posix.join(posix.dirname(name), specifier.replace(/\.[tj]s$/, '.d.ts'));
}

function textOf(ts, { source, imports, statements, kept, used }) {
  const imported = imports.flatMap((statement) => {
    const { namedBindings, name } = statement.importClause ?? {};
    if (name || !namedBindings || !ts.isNamedImports(namedBindings)) return [statement.getText(source)];
    const names = namedBindings.elements
      .filter((element) => used.has(element.name.text))
      .map((element) => element.getText(source));
    const type = statement.importClause.isTypeOnly ? 'type ' : '';
    return names.length === 0
      ? []
      : [`import ${type}{ ${names.join(', ')} } from ${statement.moduleSpecifier.getText(source)};`];
  });
  const own = statements
    .filter((statement) => kept.has(statement))
    .map((statement) => statement.getFullText(source).replace(/^\n+/, ''));
  return `${[
    ...imported, ...own, ...(own.some((text) => /\bexport\b/.test(text)) ? [] : ['export {};']),
  ].join('\n')}\n`;
}
