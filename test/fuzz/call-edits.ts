/** Changes of a call that leave it one: its head a line, its body JSON. */
import type { Edit, Random } from './engine.ts';
import type { Schema } from './grow.ts';
import { grow, KEY_MARKS } from './grow.ts';

/** An OpenAPI document, as far as calls are grown from it. */
export interface OpenapiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Operation {
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly schema: Schema }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<Record<string, { readonly content: Readonly<Record<string, { readonly schema?: Schema }>> }>>;
}

type Json = unknown;
/** Where a value stands: in this object or list, under this name. */
interface Place {
  readonly inside: Record<string, Json>;
  readonly name: string;
}

const ODD: readonly Json[] = [null, true, 0, -1, 1.5, 1e21, '', [], {}, '\u0000', 'zq7canary', [[]], { a: {} }];

export function headAndBody(input: Buffer): readonly [string, Buffer] {
  const end = input.indexOf('\n');
  return end < 0 ? [input.toString('latin1'), Buffer.alloc(0)] : [input.toString('latin1', 0, end), input.subarray(end + 1)];
}

/** Over the document as it is when they are asked. */
export function callEdits(documentOf: () => OpenapiDocument): readonly Edit[] {
  /** Of all members of one name, wherever they stand. */
  const schemasByName = (): ReadonlyMap<string, Schema> => {
    const found = new Map<string, Schema>();
    const walk = (schema: Schema): void => {
      for (const [name, inner] of Object.entries((schema['properties'] ?? {}) as Record<string, Schema>)) {
        found.set(name, inner);
        walk(inner);
      }
      if (schema['items'] !== undefined) walk(schema['items'] as Schema);
    };
    for (const operation of operationsOf(documentOf())) if (operation.body !== undefined) walk(operation.body);
    return found;
  };

  const newHead: Edit = (input, random) => {
    const [, body] = headAndBody(input);
    return joined(growHead(random.oneOf(operationsOf(documentOf())), random), body);
  };
  const newCall: Edit = (_input, random) => {
    const operation = random.oneOf(operationsOf(documentOf()));
    return joined(growHead(operation, random), operation.body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(grow(operation.body, random))));
  };
  const onPlace = (change: (place: Place, random: Random) => void): Edit => (input, random, corpus, words) => {
    const [head, body] = headAndBody(input);
    const value = parse(body);
    const places = placesIn(value);
    if (places.length === 0) return newCall(input, random, corpus, words);
    change(random.oneOf(places), random);
    return joined(head, Buffer.from(JSON.stringify(value)));
  };

  const growAnew = onPlace(({ inside, name }, random) => {
    const schema = schemasByName().get(name);
    inside[name] = schema === undefined ? random.oneOf(ODD) : grow(schema, random, name);
  });
  return [
    newHead,
    newCall,
    growAnew, growAnew, growAnew,
    onPlace(({ inside, name }, random) => { inside[name] = random.oneOf(ODD); }),
    onPlace(({ inside, name }) => { Reflect.deleteProperty(inside, name); }),
    onPlace(({ inside }, random) => {
      const [name, schema] = random.oneOf([...schemasByName()]);
      if (!Array.isArray(inside)) inside[name] = grow(schema, random, name);
      else inside.push(structuredClone(inside[0]));
    }),
  ];
}

interface GrownFrom {
  readonly method: string;
  readonly path: string;
  readonly parameters: Operation['parameters'];
  readonly body: Schema | undefined;
}

function operationsOf({ paths }: OpenapiDocument): readonly GrownFrom[] {
  return Object.entries(paths).flatMap(([path, operations]) => Object.entries(operations).map(([method, { parameters, requestBody }]): GrownFrom =>
    ({ method: method.toUpperCase(), path: path.replace('/v1/kms', ''), parameters, body: requestBody?.content['application/json']?.schema })));
}

function growHead({ method, path, parameters }: GrownFrom, random: Random): string {
  const filled = path.replace(/\{(\w+)\}/g, (_all, name: string) => {
    if (name === 'kid') return random.oneOf(KEY_MARKS) + random.oneOf(['', '', '%23v1', '%23v2', '/x']);
    if (name === 'tile') return random.oneOf(['0/000', '0/000.p/1', '0/000.p/8', 'entries/000.p/4', '1/000', '0/x001/234', '63/000']);
    return String(random.below(64));
  });
  const query = parameters.filter((parameter) => parameter.in === 'query' && random.below(3) === 0)
    .map(({ name, schema }) => `${name}=${encodeURIComponent(String(grow(schema, random, name))).replaceAll('%40', '@')}`);
  return `${method} ${filled}${query.length === 0 ? '' : `?${query.join('&')}`}`;
}

function placesIn(value: Json): readonly Place[] {
  if (typeof value !== 'object' || value === null) return [];
  const inside = value as Record<string, Json>;
  return Object.keys(inside).flatMap((name) => [[{ inside, name }], placesIn(inside[name])].flat());
}

function parse(body: Buffer): Json {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

function joined(head: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from('\n'), body]);
}
