import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { ronKms } from './ron-kms.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-config-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const OLD = '# ours\nverify_mode = "or"  # until May\n\n[pq]\nproduce_hybrid = false\n';
const NEW = '# ours\n\n[pq]\nverify_mode = "or"  # until May\nproduce_hybrid = false\n';

function file(name: string, text: string): string {
  const path = join(root, name);
  writeFileSync(path, text);
  return path;
}

test('config migrate shows the new text, and writes it when it is told to', async () => {
  const path = file('a.toml', OLD);
  const shown = await ronKms(['config', 'migrate', '--config', path]);
  expect([shown.code, shown.out, shown.err]).toEqual([0, NEW, 'verify_mode is pq.verify_mode\n']);
  expect(readFileSync(path, 'utf8')).toBe(OLD);
  const written = await ronKms(['config', 'migrate', '--config', path, '--write', '--json'], { env: { RON_KMS_ROLLOUT_PERCENT: '5' } });
  expect([written.code, JSON.parse(written.out)]).toEqual([0, { changes: [{ from: 'verify_mode', to: 'pq.verify_mode' }], written: true }]);
  expect(written.err).toContain('the environment has RON_KMS_ROLLOUT_PERCENT: it is RON_KMS_PQ_ROLLOUT_PERCENT');
  expect(readFileSync(path, 'utf8')).toBe(NEW);
  expect((await ronKms(['config', 'migrate', '--config', path, '--write'])).err).toContain('has every setting under its name of today');
});

test('config migrate changes nothing that it cannot put right, and says what to do by hand', async () => {
  const text = 'verify_mode = "or"\npq = { rollout_percent = 3 }\n';
  const path = file('b.toml', text);
  const { code, err } = await ronKms(['config', 'migrate', '--config', path, '--write']);
  expect(code).not.toBe(0);
  expect(err).toContain('By hand');
  expect(readFileSync(path, 'utf8')).toBe(text);
});

test('config check says which names are of the past, and is good all the same', async () => {
  const { code, out, err } = await ronKms(['config', 'check', '--profile', 'micronode', '--config', file('c.toml', 'verify_mode = "or"\n')]);
  expect([code, out]).toEqual([0, 'the configuration is good (profile micronode)\n']);
  expect(err).toMatch(/verify_mode is pq\.verify_mode by now, and that name alone from version 0\.3\.0 on/);
});

test('config schema prints what is in the documents', async () => {
  const { code, out } = await ronKms(['config', 'schema']);
  expect([code, JSON.parse(out)]).toEqual([0, configSchema()]);
});
