/**
 * The sources once more as V8 knows them best; all of it changes nothing of what they do.
 *
 * Of a property that is given its value once, in the constructor, V8's optimised code takes the value for a constant wherever the object
 * is one, and needs not look at the kind of what is in it. A field that is declared without a value has had one before, `undefined`,
 * and so is none of these; and a private one has to be declared. So fields have names that no source file has in the place of private
 * ones, and are not declared where the constructor gives them their values anyway. The compiler of the sources has seen to it by then
 * that nobody reaches for them.
 *
 * And of the module itself: V8 puts the value of a constant into its optimised code, so that the bit of a flag is a number there, and a function
 * is called without being looked up, or is inlined. The bundler makes `var` of what the sources have as `const`: what is given no other
 * value is one again. A function is a variable to V8, too: here it is a constant, in front of all else, as the language would have it
 * there. What this misses, the bundler refuses afterwards as an assignment to a constant.
 *
 * All that together is more than half of the instructions of a VM exit.
 */

import { parse } from 'acorn';

const isClass = ({ type }) => type === 'ClassDeclaration' || type === 'ClassExpression';

/** Call `visit` with the nodes right below one. There are a million of them. */
function below(node, visit) {
  for (const name in node) {
    const value = node[name];
    if (value === null || typeof value !== 'object') continue;
    if (typeof value.type === 'string') visit(value);
    else if (Array.isArray(value)) for (const each of value) if (each !== null) visit(each);
  }
}

const nameOf = ({ type, name }) => (type === 'PrivateIdentifier' ? `#${name}` : name);

/** Names of the fields that a class's constructor gives their values, each by a statement of its own. */
function givenByConstructor({ body }) {
  const given = new Set();
  const made = body.find(({ kind }) => kind === 'constructor');
  for (const { type, expression } of made?.value.body.body ?? []) {
    if (type !== 'ExpressionStatement' || expression.type !== 'AssignmentExpression') continue;
    const { left, operator } = expression;
    if (operator === '=' && left.object?.type === 'ThisExpression') given.add(nameOf(left.property));
  }
  return given;
}

/** Changes of fields and their names: places in the text, and what is to stand there. */
function plainFields(program) {
  const changes = [];
  let classes = 0;
  const visit = (node, names) => {
    if (isClass(node)) return visitClass(node, names);
    if (node.type === 'PrivateIdentifier') changes.push({ ...node, by: names.get(node.name) });
    if (node.type === 'BinaryExpression' && node.left.type === 'PrivateIdentifier')
      throw new Error(`\`#${node.left.name} in\` asks for a private field: write the class another way`);
    below(node, (each) => visit(each, names));
  };
  const visitClass = (node, outer) => {
    if (node.superClass) visit(node.superClass, outer);
    const names = new Map(outer);
    // Another number in each class: what was private to it is no other's, be it derived from it.
    classes++;
    for (const { key } of node.body.body)
      if (key?.type === 'PrivateIdentifier') names.set(key.name, `_${key.name}_${classes}`);
    const given = givenByConstructor(node.body);
    for (const member of node.body.body) {
      const { type, key, value, computed } = member;
      const bare = type === 'PropertyDefinition' && value === null && !member.static && !computed;
      if (bare && given.has(nameOf(key))) changes.push({ ...member, by: '' });
      else visit(member, names);
    }
  };
  visit(program, new Map());
  return changes;
}

/** The names in a pattern that is given values: `a`, `[a, b]`, `{ a: b }`. */
function assignTo(pattern, names) {
  if (pattern.type === 'Identifier') names.add(pattern.name);
  else if (/Pattern$/.test(pattern.type) || pattern.type === 'Property' || pattern.type === 'RestElement')
    below(pattern, (each) => assignTo(each, names));
}

/** Names that are given a value anywhere but where they are declared, in whatever scope. */
function assignedNames(program) {
  const names = new Set();
  const visit = (node) => {
    const { type, left, argument } = node;
    if (type === 'AssignmentExpression' || type === 'ForInStatement' || type === 'ForOfStatement')
      assignTo(left, names);
    if (type === 'UpdateExpression') assignTo(argument, names);
    below(node, visit);
  };
  visit(program);
  return names;
}

/** What a CommonJS file already has, and a package may define once more. */
const GIVEN = new Set(['__dirname', '__filename', 'require', 'module', 'exports']);

/** Changes that make variables of the top level constants, which they are in the sources: those that are given one value, with their declaration. */
function constantsOf(program, assigned) {
  const declared = new Map();
  for (const { type, declarations } of program.body)
    if (type === 'VariableDeclaration')
      for (const { id } of declarations) declared.set(id.name, (declared.get(id.name) ?? 0) + 1);
  const isConstant = ({ id: { type, name }, init }) =>
    type === 'Identifier' && init !== null && declared.get(name) === 1 && !assigned.has(name) && !GIVEN.has(name);
  return program.body
    .filter(
      ({ type, kind, declarations }) =>
        type === 'VariableDeclaration' && kind === 'var' && declarations.every(isConstant),
    )
    .map(({ start }) => ({ start, end: start + 'var'.length, by: 'const' }));
}

/** The text of a script or module, rewritten so. */
export function knownConstants(text, sourceType) {
  const program = parse(text, { ecmaVersion: 'latest', sourceType });
  const assigned = assignedNames(program);
  const changes = [...plainFields(program), ...constantsOf(program, assigned)].sort((a, b) => a.start - b.start);
  let at = 0;
  let next = 0;
  /** The text up to `end`, as changed. */
  const upTo = (end) => {
    let part = '';
    for (; next < changes.length && changes[next].start < end; next++) {
      part += text.slice(at, changes[next].start) + changes[next].by;
      at = changes[next].end;
    }
    part += text.slice(at, end);
    at = end;
    return part;
  };
  // `use strict` stays in front of all.
  const head = upTo(program.body.findLast(({ directive }) => directive !== undefined)?.end ?? 0);
  let constants = '';
  let rest = '';
  for (const { type, start, end, id } of program.body) {
    if (type !== 'FunctionDeclaration' || assigned.has(id.name)) continue;
    rest += upTo(start);
    constants += `\nconst ${id.name} = ${upTo(id.start)}`;
    at = id.end;
    constants += `${upTo(end)};`;
  }
  return `${head}${constants}\n${rest}${upTo(text.length)}`;
}
