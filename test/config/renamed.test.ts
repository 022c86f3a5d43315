import { describe, expect, test } from 'vitest';
import { differencesOf } from '../../src/config/difference.ts';
import { configKeys, flagOf, variableOf } from '../../src/config/keys.ts';
import { loadConfig } from '../../src/config/load.ts';
import { migrateText } from '../../src/config/migrate.ts';
import { renamedKeys } from '../../src/config/renamed.ts';

const load = (text: string) => loadConfig({ file: { path: 'kms.toml', text }, environment: {}, flags: {} });

describe('a setting under the name that it had', () => {
  test.each(Object.entries(renamedKeys))('%s is read as what it is by now, from a file, a variable and a flag, and said', (from, { to, endsWith }) => {
    expect(configKeys[to]).toBeDefined();
    const { fallback } = configKeys[to];
    const other = typeof fallback === 'boolean' ? !fallback : typeof fallback === 'number' ? 7 : { 'security.attest_require': 'never', 'pq.verify_mode': 'pq_only' }[to as string];
    const given = [
      load(`${from} = ${JSON.stringify(other)}\n`),
      loadConfig({ environment: { [variableOf(from)]: String(other) }, flags: {} }),
      loadConfig({ environment: {}, flags: { [flagOf(from)]: String(other) } }),
    ];
    for (const { settings, renamed } of given) {
      expect(settings[to]).toBe(other);
      expect(renamed).toHaveLength(1);
      expect(renamed[0]).toMatch(new RegExp(`is .* by now, and that name alone from version ${endsWith.replaceAll('.', '\\.')} on`));
    }
  });

  test('both names in one place are refused; in two, the stronger place counts', () => {
    expect(() => load('verify_mode = "or"\n[pq]\nverify_mode = "or"\n')).toThrow(/kms\.toml: verify_mode is pq\.verify_mode by now, and both are set/);
    const { settings, sources } = loadConfig({ file: { path: 'kms.toml', text: '[pq]\nverify_mode = "or"\n' }, environment: { RON_KMS_VERIFY_MODE: 'pq_only' }, flags: {} });
    expect([settings['pq.verify_mode'], sources['pq.verify_mode']]).toEqual(['pq_only', 'environment RON_KMS_VERIFY_MODE']);
  });

  test('a wrong value is refused under the name that was written', () => {
    expect(() => load('rollout_percent = 101\n')).toThrow(/kms\.toml: rollout_percent must be a whole number from 0 to 100/);
  });
});

describe('config migrate', () => {
  test.each<[what: string, before: string, after: string]>([
    ['a name without its table', 'verify_mode = "or" # why\n', 'pq.verify_mode = "or" # why\n'],
    ['a table that is there takes it', '# top\nverify_mode = "or"\n\n[pq]\n# stage\nrollout_percent = 5\n', '# top\n\n[pq]\nverify_mode = "or"\n# stage\nrollout_percent = 5\n'],
    ['a tenant\'s rule of the same name stays', '[tenants.core]\nverify_mode = "or"\n', '[tenants.core]\nverify_mode = "or"\n'],
    ['nothing to do', '[pq]\nverify_mode = "or"\n', '[pq]\nverify_mode = "or"\n'],
    ['several into one table', 'verify_mode = "or"\nproduce_hybrid = false\n[pq]\n', '[pq]\nverify_mode = "or"\nproduce_hybrid = false\n'],
  ])('%s', (_what, before, after) => {
    const { text } = migrateText(before);
    expect(text).toBe(after);
    expect(differencesOf(load(before), load(text))).toEqual([]);
    expect(load(text).renamed).toEqual([]);
    expect(migrateText(text)).toEqual({ text, changes: [] });
  });
});
