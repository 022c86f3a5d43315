import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { backendDrill } from './backend.ts';

const RUN = fileURLToPath(new URL('run.ts', import.meta.url));
if (backendDrill.missing !== undefined) console.warn(backendDrill.missing);
const DRILLS = ['kill -9', 'restart under load', ...(backendDrill.missing === undefined ? ['backend outage'] : []), 'restore and roll-back'];

interface Result {
  readonly name: string;
  readonly outcome: { readonly faults: readonly string[]; readonly figures: Readonly<Record<string, unknown>> };
}

async function drill(name: string, ...args: readonly string[]): Promise<{ readonly code: number | null; readonly result: Result }> {
  const child = spawn(process.execPath, [...process.execArgv, RUN, '--only', name, '--seconds', '3', '--json', ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  let out = '';
  child.stdout.on('data', (bytes: Buffer) => { out += bytes.toString(); });
  const code = await new Promise<number | null>((resolve) => { child.once('close', resolve); });
  const [result] = JSON.parse(out) as Result[];
  if (result === undefined) throw new Error(out);
  return { code, result };
}

test.each(DRILLS)('%s: holds, and the drill sees what is broken behind its back', { timeout: 120_000 }, async (name) => {
  const held = await drill(name);
  expect([held.result.name, held.code, held.result.outcome.faults]).toEqual([name, 0, []]);
  expect(Object.keys(held.result.outcome.figures).length).toBeGreaterThan(2);
  const planted = await drill(name, '--plant');
  expect([planted.code, planted.result.outcome.faults.length > 0]).toEqual([1, true]);
});
