import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const RUN = fileURLToPath(new URL('run.ts', import.meta.url));

/** The simulator in a process of its own: it takes over the timers of the one that it runs in. */
async function simulate(...args: readonly string[]): Promise<{ readonly code: number | null; readonly out: string }> {
  const child = spawn(process.execPath, [...process.execArgv, RUN, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.on('data', (bytes: Buffer) => { out += bytes.toString(); });
  const code = await new Promise<number | null>((resolve) => { child.once('close', resolve); });
  return { code, out };
}

const digestsOf = (out: string): readonly string[] => [...out.matchAll(/^seed (\d+):.*digest (\w+)/gm)].map(([, seed, digest]) => `${seed} ${digest}`);

describe('the whole service over a simulated disk, clock, network, backend, anchor and order of everything', { timeout: 240_000 }, () => {
  test('keeps every promise: through crashes, torn writes, failing and slow flushes, clock steps, flaps, reloads, rotations and restored disks', async () => {
    const { code, out } = await simulate('--seed', '1', '--worlds', '4', '--hours', '20', '--jobs', '2');
    expect(out).not.toContain('again: ');
    expect([code, digestsOf(out).length]).toEqual([0, 4]);
    // What never came has not been tried.
    for (const what of ['crash', 'rollback', 'rotate', 'trespass', 'unwrap', 'disable', 'destroy', 'log-keys']) expect(Number(new RegExp(`\\b${what} (\\d+)`).exec(out)?.[1] ?? 0), what).toBeGreaterThan(0);
  });

  test('is the same from the same seed, wherever it runs', async () => {
    const [all, alone] = await Promise.all([simulate('--seed', '7', '--worlds', '2', '--hours', '5'), simulate('--seed', '8', '--hours', '5')]);
    expect(digestsOf(all.out)[1]).toBe(digestsOf(alone.out)[0]);
    expect(digestsOf(alone.out)[0]).toMatch(/^8 \w{16}$/);
  });
});

const { plants } = await import('./plants.ts');
describe('a fault that is planted is found, and said with the seed that shows it again', { timeout: 240_000 }, () => {
  test.each(Object.entries(plants))('%s', async (plant, mayBreak) => {
    const { code, out } = await simulate('--seed', '1', '--worlds', '6', '--hours', '30', '--plant', plant);
    const found = /^seed \d+: ([a-z-]+): /m.exec(out);
    expect([code, out]).toEqual([1, expect.stringMatching(/^again: npm run sim -- --seed \d+/m)]);
    expect(mayBreak).toContain(found?.[1]);
  });
});
