import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';

const MODEL = fileURLToPath(new URL('../../models/sign-rotate-audit.pml', import.meta.url));
const SOURCE = fileURLToPath(new URL('../../src', import.meta.url));
const IS_HERE = ['spin', 'cc'].every((program) => spawnSync('which', [program]).status === 0);
if (!IS_HERE) console.warn('SKIPPED: the model of sign, rotate, audit and checkpoint. It needs spin and a C compiler (apt-get install spin gcc libc6-dev)');

const root = mkdtempSync(join(tmpdir(), 'ron-kms-model-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Every order of steps; how many states there are, and what is violated. */
function check(...bounds: readonly string[]): { readonly states: number; readonly violated: string | undefined } {
  execFileSync('spin', [...bounds.map((bound) => `-D${bound}`), '-a', MODEL], { cwd: root, stdio: 'pipe' });
  execFileSync('cc', ['-O1', '-w', '-DSAFETY', '-o', 'pan', 'pan.c'], { cwd: root, stdio: 'pipe' });
  const out = execFileSync(join(root, 'pan'), ['-m200000', '-E', '-w24'], { cwd: root, encoding: 'utf8', stdio: 'pipe', maxBuffer: 1 << 24 });
  if (out.includes('search not completed') && !out.includes('assertion violated')) throw new Error(out);
  return { states: Number(/([\d.e+]+) states, stored/.exec(out)?.[1] ?? 0), violated: /assertion violated (.*) \(at depth/.exec(out)?.[1] };
}

const steps = (text: string): readonly string[] => [...text.matchAll(/\[([a-z, ]+)\]/g)].map(([, step = '']) => step);

test('the code names every step of the model where it happens, and none that the model has not', () => {
  const model = new Set([...readFileSync(MODEL, 'utf8').matchAll(/\/\* ?\[([a-z, ]+)\]/g)].map(([, step = '']) => step));
  const named = new Set(readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
    .flatMap((path) => readFileSync(join(SOURCE, path), 'utf8').split('\n').filter((line) => /Model: |of models\//.test(line)).flatMap(steps)));
  expect([...named].toSorted()).toEqual([...model].toSorted());
  expect(model.size).toBeGreaterThan(9);
});

describe.skipIf(!IS_HERE)('sign, rotate, audit and checkpoint, with a crash anywhere', { timeout: 120_000 }, () => {
  test.each([['two rotations beside a signature', 'SIGNS=1', 'ROTATES=2'], ['two signatures beside a rotation', 'SIGNS=2', 'ROTATES=1']])('%s: nothing that was answered is lost, no version goes back, the log is whole', (_name, ...bounds) => {
    const { states, violated } = check('PLANT=0', 'CRASHES=1', ...bounds);
    expect(violated).toBeUndefined();
    expect(states).toBeGreaterThan(1_000_000);
  });

  test.each([['an answer that does not wait for its entry', 1], ['a commit that does not wait for its intent', 2], ['a checkpoint over what is not flushed', 3]])('finds %s', (_name, plant) => {
    expect(check(`PLANT=${plant}`, 'CRASHES=1', 'SIGNS=1', 'ROTATES=1').violated).toBeDefined();
  });
});
