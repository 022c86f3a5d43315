/** The types that the client publishes, against those of the last release: whoever compiled against them has to compile still. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** The text of each declaration file, by its path below the client's source. */
export type Declarations = Readonly<Record<string, string>>;

/** What callers hand in; all other types are what they are given. */
const GIVEN_BY_CALLER = /(?:Options|Pins|Body|Query)$/u;

export function currentDeclarations(root: string): Declarations {
  const out = mkdtempSync(join(tmpdir(), 'ron-kms-client-'));
  try {
    const { status, stdout } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['--project', join(root, 'client/tsconfig.json'), '--emitDeclarationOnly', '--outDir', out], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`the client's types do not compile: ${stdout}`);
    return readDeclarations(out);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

export function readDeclarations(directory: string): Declarations {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.d.ts')).toSorted();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(directory, name), 'utf8')]));
}

export function writeDeclarations(directory: string, declarations: Declarations): void {
  rmSync(directory, { recursive: true, force: true });
  for (const [name, text] of Object.entries(declarations)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
}

/** What the compiler says of old uses of the new types, one line each; empty where all of them hold. */
export function brokenUses(root: string, before: Declarations, now: Declarations): readonly string[] {
  const place = mkdtempSync(join(tmpdir(), 'ron-kms-types-'));
  try {
    writeDeclarations(join(place, 'before'), before);
    writeDeclarations(join(place, 'now'), now);
    cpSync(join(root, 'tsconfig.json'), join(place, 'base.json'));
    writeFileSync(join(place, 'package.json'), '{"type":"module"}');
    writeFileSync(join(place, 'tsconfig.json'), JSON.stringify({ extends: './base.json', compilerOptions: { types: ['node'], typeRoots: [join(root, 'node_modules/@types')], lib: ['es2023'], noUnusedLocals: false, skipLibCheck: true }, include: ['uses.ts'] }));
    writeFileSync(join(place, 'uses.ts'), usesOf(before));
    const { stdout, status } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['--project', place], { encoding: 'utf8' });
    const broken = stdout.split('\n').filter((line) => line.startsWith('uses.ts') || line.includes('/uses.ts(')).map((line) => line.replace(/^.*?: error TS\d+: /u, ''));
    return status === 0 || broken.length > 0 ? broken : [`the uses could not be checked: ${stdout.split('\n', 1)[0] ?? ''}`];
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** A program that uses every name that was exported, as somebody may have. */
function usesOf(before: Declarations): string {
  const values: string[] = [];
  const types: string[] = [];
  const index = before['index.d.ts'] ?? '';
  for (const [, kind, names = ''] of index.matchAll(/^export (type )?\{([^}]*)\}/gmu)) (kind === undefined ? values : types).push(...names.split(',').map((name) => name.trim()).filter((name) => name !== ''));
  for (const [, file = ''] of index.matchAll(/^export type \* from '\.\/(.*)\.[jt]s'/gmu)) types.push(...[...(before[`${file}.d.ts`] ?? '').matchAll(/^export (?:type|interface) (\w+)/gmu)].map(([, name = '']) => name));
  if (values.length === 0) throw new Error('the last release exports no function: its declarations are not what they should be');
  return [
    "import * as before from './before/index.js';", "import * as now from './now/index.js';",
    ...values.map((name, i) => `export const value${i}: typeof before.${name} = now.${name};`),
    ...types.map((name, i) => (GIVEN_BY_CALLER.test(name) ? `export declare const given${i}: before.${name}; export const taken${i}: now.${name} = given${i};` : `export declare const made${i}: now.${name}; export const used${i}: before.${name} = made${i};`)),
  ].join('\n');
}
