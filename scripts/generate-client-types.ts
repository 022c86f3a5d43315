/** Makes client/src/wire.ts from the schemas that validate, so that the client's types cannot drift from them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { compile } from 'json-schema-to-typescript';
import * as schemas from '../src/http/schemas.ts';

const TARGET = fileURLToPath(new URL('../client/src/wire.ts', import.meta.url));
const HEADER = '/** Generated from src/http/schemas.ts by `npm run generate -w client`. Do not edit: a test holds it against the schemas. */\n';
/** Holds a reference to every definition, so that each is written; its own type is taken out again. */
const ROOT = 'Wire';

export async function generateClientTypes(): Promise<string> {
  // In the order of their names: that of a module's exports is the loader's own.
  const plain = Object.entries(schemas).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, schema]) => [name, simplify(JSON.parse(JSON.stringify(schema)))] as const);
  const names = new Map(plain.map(([name, schema]) => [JSON.stringify(schema), name]));
  const definitions = Object.fromEntries(plain.map(([name, schema]) => [name, mapInside(schema, (part) => refer(part, names)) as object]));
  const properties = Object.fromEntries(plain.map(([name]) => [name, { $ref: `#/definitions/${name}` }]));
  const text = await compile({ type: 'object', additionalProperties: false, properties, definitions }, ROOT, {
    bannerComment: '', ignoreMinAndMaxItems: true, unknownAny: true, style: { singleQuote: true, printWidth: 160 },
  });
  const withoutRoot = text.replace(new RegExp(`^export interface ${ROOT} \\{[^}]*\\}\\n`, 'm'), '').trimStart();
  return HEADER + withoutRoot.replaceAll(/\/\*\*\n\s+\* (.*)\n\s+\*\//g, '/** $1 */');
}

/** Where a named schema stands inside another one, its name. */
function refer(part: unknown, names: ReadonlyMap<string, string>): unknown {
  const name = names.get(JSON.stringify(part));
  return name === undefined ? mapInside(part, (inner) => refer(inner, names)) : { $ref: `#/definitions/${name}` };
}

/** A record by its values alone: what its keys look like, no type can say. Bounds only become comments. */
function simplify(part: unknown): unknown {
  if (typeof part === 'object' && part !== null && 'patternProperties' in part) {
    const [values] = Object.values(part.patternProperties as object) as unknown[];
    return { type: 'object', additionalProperties: simplify(values) };
  }
  if (typeof part === 'object' && part !== null && 'minItems' in part) {
    const { minItems: _min, maxItems: _max, ...rest } = part as { minItems: unknown; maxItems?: unknown };
    return mapInside(rest, simplify);
  }
  return mapInside(part, simplify);
}

function mapInside(part: unknown, map: (inner: unknown) => unknown): unknown {
  if (Array.isArray(part)) return part.map(map);
  if (typeof part !== 'object' || part === null) return part;
  return Object.fromEntries(Object.entries(part).map(([key, inner]) => [key, map(inner)]));
}

if (import.meta.main) {
  const text = await generateClientTypes();
  const before = readFileSync(TARGET, { encoding: 'utf8', flag: 'a+' });
  if (before !== text) writeFileSync(TARGET, text);
  console.log(before === text ? 'client/src/wire.ts is current' : 'client/src/wire.ts written');
}
