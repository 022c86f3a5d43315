/** Bad requests made from the schemas of the wire: a new field gets its cases by being there. */
import { CANARY } from './refusal.ts';

/** A JSON Schema as /openapi.json shows it. */
export type Schema = Readonly<Record<string, any>>;
type Path = readonly (string | number)[];
type Json = unknown;

export interface BadBody {
  readonly name: string;
  readonly body: string | Buffer;
  readonly codes: readonly string[];
}

interface Field {
  readonly path: Path;
  readonly schema: Schema;
}

const NUMBER = 918273645;
/** Replaced by raw JSON text, so that values can stand in a body that no JSON.stringify would write. */
const HOLE = '@@hole@@';
const BAD = ['BadRequest'] as const;
/** A name that no algorithm has is either not well formed or not supported. */
const BAD_NAME = ['BadRequest', 'Unsupported'] as const;

/** Two fields of which one is sent. */
const rivals: Readonly<Record<string, string>> = {
  kid: 'kid_set', kid_set: 'kid', payload_b3: 'payload_b64', payload_b64: 'payload_b3', size: 'plaintext_key_b64', plaintext_key_b64: 'size',
};

const KID = 'core/audit/ed25519/0193a0b1-c2d3-7e4f-8a5b-6c7d8e9f0a1b';
const [, , , ID = ''] = KID.split('/');

/** Every way to write a kid wrongly. */
export const badKids: readonly string[] = [
  '', CANARY, '/', '///', 'core', 'core/audit/ed25519', `${KID}/${CANARY}`, `/${KID}`, `${KID}/`, KID.replaceAll('/', '\\'), KID.replaceAll('/', '%2F'), KID.replaceAll('/', ':'),
  `Core/audit/ed25519/${ID}`, `core/AUDIT/ed25519/${ID}`, `-core/audit/ed25519/${ID}`, `/audit/ed25519/${ID}`, `core//ed25519/${ID}`, `../audit/ed25519/${ID}`, `co re/audit/ed25519/${ID}`, `cöre/audit/ed25519/${ID}`,
  `${'c'.repeat(64)}/audit/ed25519/${ID}`, `core/${'p'.repeat(64)}/ed25519/${ID}`, `core/audit/${CANARY}/${ID}`, `core/audit/ED25519/${ID}`, `core/audit/__proto__/${ID}`, `core/audit/constructor/${ID}`, `core/audit/ed25519 ml-dsa/${ID}`,
  `core/audit/ed25519/${ID.toUpperCase()}`, `core/audit/ed25519/${ID.replace('-7', '-4')}`, `core/audit/ed25519/${ID.replaceAll('-', '')}`, `core/audit/ed25519/${ID.slice(1)}`, `core/audit/ed25519/{${ID}}`, 'core/audit/ed25519/1',
  ...['#', '#v', '#v0', '#v01', '#v-1', '#v+1', '#v1.0', '#v1e3', '#V1', '#1', '#v1#v1', '#v1 ', '#v１', '#v99999999999999999999', '@1', '%23v1', '?v=1', ' ', '\n', '\u0000'].map((end) => KID + end),
  ` ${KID}`, KID.repeat(20),
];

const badBase64: readonly string[] = ['QUI', 'Q', 'QUJDRA=', 'QUJDRA', 'QUJDRB==', 'QUJ=', '====', '=', 'QUJD====', 'QU-_', 'QUJD\n', ' QUJD', 'QU JD', 'QUJD\u0000', 'é', 'QUJD,', `${CANARY}!`, `data:;base64,QUJD`];
const badDigests: readonly string[] = ['', 'a', '0'.repeat(63), '0'.repeat(65), '0'.repeat(128), 'A'.repeat(64), `${'0'.repeat(63)}g`, `0x${'0'.repeat(62)}`, `${'0'.repeat(64)}\n`, ` ${'0'.repeat(63)}`, '０'.repeat(64)];
/** Names that every JavaScript object has. */
const inherited: readonly string[] = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '__defineGetter__'];

/** Number of fields that a body has, at every depth. */
export function countFields(schema: Schema): number {
  return fieldsOf(schema).length;
}

/** Every bad body for a schema, each one change away from a good one. */
export function badBodies(schema: Schema, good: Json): readonly BadBody[] {
  return [...wholeBodies(good), ...objectsOf(schema).flatMap((object) => badObjects(object, good)), ...fieldsOf(schema).flatMap((field) => badFields(field, good))];
}

/** Query strings that a list of parameters refuses. */
export function badQueries(parameters: readonly { readonly name: string; readonly schema: Schema }[]): readonly { readonly name: string; readonly query: string }[] {
  return [
    queryOf(CANARY, '1'), queryOf('__proto__', CANARY), queryOf('constructor', CANARY),
    ...parameters.flatMap(({ name, schema }) => [
      ...misfitsOf(schema, 'a').map((value) => queryOf(name, value)),
      { name: `${name} twice`, query: `?${name}=1&${name}=1` },
      { name: `${name} as a list`, query: `?${name}[]=1` },
    ]),
  ];
}

function queryOf(name: string, value: string): { readonly name: string; readonly query: string } {
  return { name: `${name}=${value.slice(0, 40)}`, query: `?${name}=${encodeURIComponent(value)}` };
}

function whole(name: string, body: string | Buffer): BadBody {
  return { name, body, codes: BAD };
}

function wholeBodies(good: Json): readonly BadBody[] {
  const text = JSON.stringify(good);
  const opened = text.slice(0, -1);
  const comma = text === '{}' ? '' : ',';
  return [
    ...['', ' ', 'null', '[]', `[${text}]`, '1', '-0', 'true', `"${CANARY}"`, '{', '}', `{"${CANARY}`, opened, `${opened},}`, `${text}x`, `${text}${text}`, `${text}\u0000`, `\ufeff${text}`, CANARY, '{1:2}', `{'${CANARY}':1}`, `{"a":NaN}`, `{"a":Infinity}`, `{"a":01}`, `{"a":.5}`, `// ${CANARY}\n${text}`]
      .map((body) => whole(`the body is ${body.slice(0, 30)}`, body)),
    whole('the body is UTF-16', Buffer.from(text, 'utf16le')),
    whole('an invalid UTF-8 byte in a name', Buffer.concat([Buffer.from(`${opened}${comma}"`), Buffer.of(0xff, 0xfe), Buffer.from(`${CANARY}":1}`)])),
    whole('an overlong UTF-8 form', Buffer.concat([Buffer.from(`${opened}${comma}"${CANARY}":"`), Buffer.of(0xc0, 0x80), Buffer.from('"}')])),
    whole('a surrogate as UTF-8', Buffer.concat([Buffer.from(`${opened}${comma}"${CANARY}":"`), Buffer.of(0xed, 0xa0, 0x80), Buffer.from('"}')])),
    whole('a raw NUL in a string', `${opened}${comma}"${CANARY}":"a\u0000b"}`),
    whole('a raw newline in a string', `${opened}${comma}"${CANARY}":"a\nb"}`),
    whole('a lone surrogate in a name', `${opened}${comma}"\\ud800":1}`),
    whole('nested a hundred deep', `${opened}${comma}"${CANARY}":${'['.repeat(100)}${']'.repeat(100)}}`),
    whole('a number beyond all', `${opened}${comma}"${CANARY}":1e400}`),
  ];
}

/** What a closed object refuses besides its fields' values. */
function badObjects({ path, schema }: Field, good: Json): readonly BadBody[] {
  if (schema['additionalProperties'] !== false || schema['patternProperties'] !== undefined) return [];
  const where = path.join('.') || 'the body';
  const add = (name: string, member: string): BadBody =>
    ({ name: `${where} with ${name}`, body: JSON.stringify(withHole(good, [...path, HOLE])).replace(`"${HOLE}":"${HOLE}"`, member), codes: BAD });
  return [
    add('an unknown field', `"${CANARY}":1`), add('a field of the wrong case', `"KID":"${CANARY}"`), add('an empty name', `"":"${CANARY}"`),
    ...inherited.map((name) => add(`a field ${name}`, `"${name}":{"${CANARY}":1}`)),
  ];
}

function badFields({ path, schema }: Field, good: Json): readonly BadBody[] {
  const where = path.join('.');
  const name = String(path.at(-1));
  const text = JSON.stringify(withHole(good, path));
  const put = (what: string, raw: string, codes: readonly string[] = BAD): BadBody => ({ name: `${where}: ${what}`, body: text.replace(`"${HOLE}"`, () => raw), codes });
  const value = (json: Json, codes?: readonly string[]): BadBody => put(JSON.stringify(json).slice(0, 60), JSON.stringify(json), codes);
  const [before = '', after = ''] = text.split(`"${HOLE}"`);
  const present = JSON.stringify(at(good, path) ?? CANARY);
  const twice = (again: string): BadBody => ({
    name: `${where} twice${again === name ? '' : ', once with an escape'}`, codes: BAD,
    body: text.replace(`"${name}":"${HOLE}"`, () => `"${name}":${present},"${again}":${present}`),
  });
  const isName = schema['enum'] !== undefined || name === 'alg' || name === 'parameter_set';
  return [
    ...wrongTypes(schema).map((json) => value(json)),
    ...misfits(name, schema).map((json) => value(json, isName ? BAD_NAME : BAD)),
    put('1e400', '1e400'), put('-1e400', '-1e400'), put('a lone surrogate', '"\\udc00"'), put('a raw NUL', `"${CANARY}\u0000"`),
    put('nothing', ''), put('undefined', 'undefined'), put('nested deep', `${'{"a":'.repeat(40)}1${'}'.repeat(40)}`),
    { name: `${where}: invalid UTF-8`, body: Buffer.concat([Buffer.from(`${before}"${CANARY}`), Buffer.of(0xff), Buffer.from(`"${after}`)]), codes: BAD },
    ...(typeof path.at(-1) === 'string' ? [twice(name), twice(`\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}`)] : []),
  ];
}

function wrongTypes(schema: Schema): readonly Json[] {
  const types = typesOf(schema);
  const one: Readonly<Record<string, readonly Json[]>> = {
    string: [CANARY], integer: [NUMBER, 1.5], boolean: [true, false], null: [null], array: [[], [CANARY]], object: [{ [CANARY]: CANARY }],
  };
  return Object.entries(one).flatMap(([type, values]) => (types.includes(type) ? [] : values));
}

/** Values of the right type that do not fit all the same. */
function misfits(name: string, schema: Schema): readonly Json[] {
  const types = typesOf(schema);
  const member = (schema['anyOf'] as Schema[] | undefined)?.find((one) => one['type'] === 'string') ?? schema;
  if (types.includes('string') && String(member['description']).includes('<uuid>')) return badKids;
  if (types.includes('string') && name.endsWith('_b64')) return badBase64;
  if (types.includes('string')) return [...(name === 'payload_b3' ? badDigests : []), ...misfitsOf(member, 'a')];
  if (types.includes('integer')) return [schema['minimum'] - 1, schema['maximum'] + 1, schema['minimum'] + 0.5, -1, Number.MAX_SAFE_INTEGER, 1e308, -NUMBER, String(schema['minimum'])];
  if (types.includes('array')) {
    const { minItems = 0, maxItems } = schema as { minItems?: number; maxItems?: number };
    return [...(minItems > 0 ? [[]] : []), ...(maxItems === undefined ? [] : [Array.from({ length: maxItems + 1 }, () => CANARY)]), [null], [[]], [NUMBER]];
  }
  if (schema['patternProperties'] !== undefined) return badLabels(schema);
  if (types.includes('object') && schema['additionalProperties'] !== false) return [{ [CANARY]: 'x'.repeat(5000) }];
  return [];
}

function badLabels({ maxProperties = 1000 }: Schema): readonly Json[] {
  const names = ['', ' ', 'UPPER', `${CANARY}!`, 'a b', 'a\u0000', 'a\n', 'ä', 'a/b', 'a:b', 'a'.repeat(64)];
  return [
    ...names.map((name) => ({ [name]: 'x' })),
    ...[NUMBER, null, true, [CANARY], { [CANARY]: 1 }, CANARY.repeat(40)].map((label) => ({ ok: label })),
    Object.fromEntries(Array.from({ length: maxProperties + 1 }, (_, i) => [`l${i}`, 'x'])),
  ];
}

/** Strings that break a pattern, a length or a list of names, checked against the schema itself. */
function misfitsOf(schema: Schema, filler: string): string[] {
  const { pattern, minLength = 0, maxLength = Infinity, enum: names } = schema as { pattern?: string; minLength?: number; maxLength?: number; enum?: string[] };
  const good = names?.[0] ?? filler;
  const tries = ['', ' ', `${CANARY}!`, CANARY.toUpperCase(), `${CANARY} `, ` ${good}`, `${good} `, `${good}\n`, `${good}\u0000`, good.toUpperCase(), '-', '__proto__', 'constructor', '1e3', '-1', '0x10', 'ａ', '\u202e', '😀'.repeat(65), CANARY.repeat(600)];
  const fits = (text: string): boolean =>
    (names === undefined || names.includes(text)) && (pattern === undefined || new RegExp(pattern, 'u').test(text)) && lengthOf(text) >= minLength && lengthOf(text) <= maxLength;
  return tries.filter((text) => !fits(text));
}

/** Characters as JSON Schema counts them. */
function lengthOf(text: string): number {
  return Array.from(text).length;
}

function fieldsOf(schema: Schema, path: Path = []): readonly Field[] {
  const inside = (step: string | number, field: Schema): readonly Field[] => [{ path: [...path, step], schema: field }, ...fieldsOf(field, [...path, step])];
  if (schema['type'] === 'array') return inside(0, schema['items'] as Schema);
  return Object.entries((schema['properties'] ?? {}) as Record<string, Schema>).flatMap(([name, field]) => inside(name, field));
}

function objectsOf(schema: Schema): readonly Field[] {
  return [{ path: [], schema }, ...fieldsOf(schema)].filter((field) => field.schema['type'] === 'object');
}

function typesOf(schema: Schema): readonly string[] {
  if (schema['anyOf'] !== undefined) return (schema['anyOf'] as Schema[]).flatMap(typesOf);
  if (schema['enum'] !== undefined) return ['string'];
  // Every number of the wire is an integer.
  return [String(schema['type'])];
}

function at(value: Json, path: Path): Json {
  return path.reduce<any>((inner, step) => inner?.[step], value);
}

/** A copy of the good body with the hole at the path, its parents made where they are missing; the rival of a field on the way goes. */
function withHole(good: Json, path: Path): Json {
  const body: Json = structuredClone(good);
  let inner = body as any;
  for (const [i, step] of path.entries()) {
    if (typeof step === 'string' && !Object.hasOwn(inner, step)) delete inner[rivals[step] ?? ''];
    if (i === path.length - 1) inner[step] = HOLE;
    else inner = inner[step] ??= typeof path[i + 1] === 'number' ? [] : {};
  }
  return body;
}
