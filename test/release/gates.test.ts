import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Declarations } from '../../scripts/release/client-api.ts';
import { changelogFaults } from '../../scripts/release/changelog.ts';
import { brokenUses, currentDeclarations, readDeclarations } from '../../scripts/release/client-api.ts';
import { lossesMeasured, lossesOf } from '../../scripts/release/performance.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

describe('the types of the client', { timeout: 60_000 }, () => {
  let now: Declarations;
  beforeAll(() => { now = currentDeclarations(ROOT); });

  /** Now as before, but for one place. */
  const changed = (file: string, from: string | RegExp, to: string): Declarations => {
    const text = now[file] ?? '';
    const other = text.replace(from, to);
    expect(other, `${String(from)} is in ${file}`).not.toBe(text);
    return { ...now, [file]: other };
  };

  test('are such that what was written against the last release compiles still', () => {
    const before = readDeclarations(`${ROOT}docs/api/client`);
    expect(Object.keys(before)).toContain('index.d.ts');
    expect(brokenUses(ROOT, before, now)).toEqual([]);
  });

  test('that cannot be read prove nothing', () => {
    expect(() => brokenUses(ROOT, { ...now, 'index.d.ts': '' }, now)).toThrow('exports no function');
    expect(brokenUses(`${ROOT}nowhere/../`, now, { 'index.d.ts': 'export {' }).length).toBeGreaterThan(0);
  });

  test('may grow: a new function, an option that may be left out, a field more in an answer', () => {
    expect(brokenUses(ROOT, now, changed('transport.d.ts', 'interface ClientOptions {', 'interface ClientOptions {\n    readonly colour?: string;'))).toEqual([]);
    expect(brokenUses(ROOT, now, changed('index.d.ts', '/** The package', 'export declare function another(): void;\n/** The package'))).toEqual([]);
    expect(brokenUses(ROOT, now, changed('log/receipt.d.ts', 'interface CheckedEntry {', 'interface CheckedEntry {\n    readonly more: string;'))).toEqual([]);
  });

  test.each<[string, string, string | RegExp, string]>([
    ['a function that is gone', 'index.d.ts', /export \{ attenuateToken \} from .*\n/, ''],
    ['an option that is needed now', 'transport.d.ts', 'interface ClientOptions {', 'interface ClientOptions {\n    readonly colour: string;'],
    ['a type that is gone', 'index.d.ts', 'CheckedReceipt', 'CheckedReceipt as Checked'],
    ['a field that an answer has no more', 'log/receipt.d.ts', /readonly fields: .*;/, ''],
  ])('a break that is planted is found: %s', (_what, file, from, to) => {
    expect(brokenUses(ROOT, now, changed(file, from, to)).length).toBeGreaterThan(0);
  });
});

describe('performance ratios', () => {
  const baseline = { sign: { rate: 0.3, byCpu: 0.25 }, wrap: { rate: 0.8, byCpu: 0.8 } };

  test('may be a little lower, by either measure', () => {
    expect(lossesOf(baseline, { sign: { rate: 0.24, byCpu: 0.1 }, wrap: { rate: 0.2, byCpu: 0.7 } })).toEqual([]);
  });

  test('that are lost by both are named, and so is one that is not measured any more', () => {
    expect(lossesOf(baseline, { sign: { rate: 0.2, byCpu: 0.15 } })).toEqual(['sign: 0.20 (by processor time 0.15), and was 0.30 (0.25)', 'wrap is not measured any more']);
  });

  test('a bad moment is measured again, a loss stays one', () => {
    const well = { sign: { rate: 0.3, byCpu: 0.3 }, wrap: { rate: 0.8, byCpu: 0.8 } };
    const bad = { sign: { rate: 0.1, byCpu: 0.1 }, wrap: { rate: 0.8, byCpu: 0.8 } };
    const runs = [bad, well];
    expect(lossesMeasured(baseline, () => runs.shift() ?? well)).toEqual({ losses: [], runs: 2 });
    expect(lossesMeasured(baseline, () => bad)).toMatchObject({ losses: [expect.stringContaining('sign')], runs: 3 });
  });
});

describe('the changelog', () => {
  const whole = '# Changelog\n\n## 1.2.0\n\n- A thing.\n\n## 1.1.0\n\n- Another.\n';
  test.each<[string, string, RegExp | undefined]>([
    ['names the version and says something', whole, undefined],
    ['begins with another version', whole.replace('1.2.0', '1.3.0'), /first section .* is "1\.3\.0"/],
    ['lists nothing', whole.replace('- A thing.', 'Soon.'), /lists nothing/],
    ['breaks something and shows no way over', whole.replace('- A thing.', '### Breaking\n\n- A thing.'), /no "Migration"/],
    ['breaks something and shows the way', whole.replace('- A thing.', '### Breaking\n\n- A thing.\n\n### Migration\n\nDo this.'), undefined],
    ['has no section', '# Changelog\n', /first section/],
  ])('%s', (_what, text, says) => {
    const faults = changelogFaults(text, ['1.2.0']);
    if (says === undefined) expect(faults).toEqual([]);
    else expect(faults).toEqual([expect.stringMatching(says)]);
  });
});
