import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const at = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

test('the search finds what is planted: four bytes that nothing tells of, a length that is believed, two spellings; a token that is believed; in a service, a fault, a private part that it shows', { timeout: 600_000 }, () => {
  expect(JSON.parse(execFileSync(process.execPath, [at('planted-process.ts')], { encoding: 'utf8' }))).toEqual({
    magic: 'planted: the magic was found', 'magic again': 'planted: the magic was found', 'found before': 'planted: the magic was found', length: expect.stringContaining('out of range'), spelling: 'planted: two spellings',
    'believed module': expect.any(String), 'believed process': expect.any(String),
    fault: expect.stringContaining('code Internal'), leak: 'a secret is in the answer',
  });
});

test('a short search through every parser, from what was found before, breaks no promise', { timeout: 120_000 }, () => {
  const { stdout, status } = spawnSync(process.execPath, [at('run.ts'), '--seconds', '15', '--seed', '1'], { encoding: 'utf8' });
  expect([status, stdout]).toEqual([0, expect.stringMatching(/\n(\d\d) passed, 0 failed\n$/)]);
  // Nothing lies there that no target begins from.
  for (const name of readdirSync(at('corpus'))) expect(stdout).toContain(`ok      ${name.replace(/\.txt$/, '')} `);
});
