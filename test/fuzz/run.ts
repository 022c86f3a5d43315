/**
 * `npm run fuzz [-- --seconds 600 --only macaroon --seed 1 --keep]`: every parser, in turn, from what was found before. With --keep
 * what is found goes into test/fuzz/corpus/, less what a shorter one reaches as well.
 */
import { parseArgs } from 'node:util';
import { readCorpus, writeCorpus } from './corpus.ts';
import { fuzz, minimise } from './engine.ts';

// Behind the engine, which counts what is loaded after it.
const { targets } = await import('./targets.ts');
const { values } = parseArgs({ options: { seconds: { type: 'string', default: '600' }, only: { type: 'string' }, seed: { type: 'string', default: String(Date.now() % 1_000_000) }, keep: { type: 'boolean', default: false } } });

const chosen = targets.filter(({ name }) => values.only === undefined || name === values.only);
const ms = 1000 * Number(values.seconds) / chosen.reduce((sum, { share = 1 }) => sum + share, 0);
let failed = 0;
for (const target of chosen) {
  const corpus = readCorpus(target.name);
  const { runs, characters, corpus: found, failure } = await fuzz(target, { ms: ms * (target.share ?? 1), seed: Number(values.seed), corpus });
  process.stdout.write(`${failure === undefined ? 'ok    ' : 'BROKEN'}  ${target.name.padEnd(16)}  ${runs} runs, ${characters} characters of code, ${found.length} inputs\n`);
  if (failure === undefined) {
    if (values.keep) writeCorpus(target.name, await minimise(target, [...corpus, ...found]));
    continue;
  }
  failed++;
  process.stdout.write(`        seed ${values.seed}; base64 ${failure.input.toString('base64')}\n        ${failure.fault instanceof Error ? failure.fault.stack ?? '' : String(failure.fault)}\n`);
}
process.stdout.write(`${chosen.length - failed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
