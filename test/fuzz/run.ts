/** `npm run fuzz [-- --seconds 600 --only macaroon --seed 1]`: every parser, as long as is asked for, in turn. What was found goes on from the corpus, and into it. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fuzz } from './engine.ts';
import { targets } from './targets.ts';

const CORPUS = fileURLToPath(new URL('corpus/', import.meta.url));
const { values } = parseArgs({ options: { seconds: { type: 'string', default: '600' }, only: { type: 'string' }, seed: { type: 'string', default: String(Date.now() % 1_000_000) }, keep: { type: 'boolean', default: false } } });

const chosen = targets.filter(({ name }) => values.only === undefined || name === values.only);
const ms = 1000 * Number(values.seconds) / chosen.length;
let failed = 0;
for (const target of chosen) {
  const folder = join(CORPUS, target.name);
  const corpus = filesIn(folder).map((name) => readFileSync(join(folder, name)));
  const { runs, characters, corpus: found, failure } = await fuzz(target, { ms, seed: Number(values.seed), corpus });
  process.stdout.write(`${failure === undefined ? 'ok    ' : 'BROKEN'}  ${target.name.padEnd(16)}  ${runs} runs, ${characters} characters of code, ${found.length} inputs\n`);
  if (values.keep) for (const input of found) keep(folder, input);
  if (failure === undefined) continue;
  failed++;
  process.stdout.write(`        seed ${values.seed}; base64 ${failure.input.toString('base64')}\n        ${failure.fault instanceof Error ? failure.fault.stack ?? '' : String(failure.fault)}\n`);
}
process.stdout.write(`${chosen.length - failed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;

function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).toSorted();
  } catch {
    return [];
  }
}

function keep(folder: string, input: Buffer): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, createHash('sha256').update(input).digest('hex').slice(0, 16)), input);
}
