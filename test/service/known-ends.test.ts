import type { KeyRecord } from '../../src/core/key/record.ts';
import type { KeyEntry } from '../../src/service/known-ends.ts';
import { describe, expect, test } from 'vitest';
import { entriesAbove, knownEnds } from '../../src/service/known-ends.ts';

const BASE = 'acme/a/ed25519/01932c07-2b4e-7c55-9a2f-000000000000';

/** A key in a backup of generation 10. */
function backup(...states: readonly KeyRecord['versions'][number]['state'][]): ReadonlyMap<string, KeyRecord> {
  const versions = states.map((state, i) => ({ version: i + 1, kid: `${BASE}#v${i + 1}`, kidHash: '', state, createdAtMs: 0, attestationClass: 'file', publicParts: [], restoreTo: 'enabled' as const }));
  return new Map([[BASE, { base: BASE, tenant: 'acme', purpose: 'a', alg: 'ed25519', input: 'b3', labels: {}, createdAtMs: 0, versions }]]);
}

/** `op version`, by the service where it begins with `!`; from generation 11 on. */
function log(...lines: readonly string[]): readonly KeyEntry[] {
  return lines.map((line, i) => {
    const [op = '', version = '1'] = line.replace('!', '').split(' ');
    return { op, result: 'ok', kid: `${BASE}#v${version}`, generation: 11 + i, actor: { via: line.startsWith('!') ? 'service' : 'tcp' } };
  });
}

function endsOf(keys: ReadonlyMap<string, KeyRecord>, entries: readonly KeyEntry[]): readonly string[] {
  return knownEnds(entriesAbove(entries, 10), keys).ends.map(({ version, state }) => `${version} ${state}`);
}

describe('what a log knows to have been ended since a backup', () => {
  test.each([
    ['nothing', ['enabled'], [], []],
    ['a disablement', ['enabled'], ['disable'], ['1 disabled']],
    ['one that was taken back', ['enabled'], ['disable', 'enable'], []],
    ['a schedule that was taken back', ['enabled'], ['destroy', 'restore'], []],
    ['a schedule of what was disabled, taken back', ['enabled'], ['disable', 'destroy', 'restore'], ['1 disabled']],
    ['a destruction', ['enabled'], ['destroy', '!destroy'], ['1 destroyed']],
    ['an erasure of what was scheduled in the backup', ['scheduled'], ['!destroy'], ['1 destroyed']],
    ['a hold that the backup has', ['disabled'], ['enable', 'disable'], []],
    ['what was enabled since: it stays held', ['disabled'], ['enable'], []],
    ['the whole key, by its current version', ['enabled', 'enabled'], ['disable 2'], ['1 disabled', '2 disabled']],
    ['one older version', ['enabled', 'enabled'], ['disable 1'], ['1 disabled']],
    ['the whole key, once it had a version that is lost', ['enabled'], ['rotate 2', 'disable 2'], ['1 disabled']],
    ['an older version, once there was a newer one', ['enabled'], ['rotate 2', 'disable 1'], ['1 disabled']],
    ['a version that is lost itself', ['enabled'], ['rotate 2', 'rotate 3', 'disable 2'], []],
    ['what a restore before had scheduled again', ['enabled'], ['!destroy'], ['1 scheduled']],
    ['what a restore before had destroyed again', ['enabled'], ['!destroy', '!destroy'], ['1 destroyed']],
    ['a hold by the service, as a restore before made it', ['enabled'], ['!disable'], ['1 disabled']],
    ['a schedule of the whole key', ['enabled', 'enabled'], ['destroy 2'], ['1 scheduled', '2 scheduled']],
    ['a schedule by the service, of one version of two', ['enabled', 'enabled'], ['!destroy 2'], ['2 scheduled']],
    ['what changes no state', ['enabled'], ['patch', 'rekey'], []],
    ['what does not fit the state', ['enabled'], ['enable', 'restore'], []],
    ['an erasure of one version of two', ['enabled', 'enabled'], ['destroy 2', 'restore 2', 'destroy 1', '!destroy 1'], ['1 destroyed']],
  ] as const)('%s', (_, states, lines, expected) => {
    expect(endsOf(backup(...states), log(...lines))).toEqual(expected);
  });

  test('is not told by refusals, replays, intents, or what the backup has itself', () => {
    const [entry] = log('disable');
    if (entry === undefined) throw new Error('there is one');
    expect(endsOf(backup('enabled'), [{ ...entry, result: 'KeyState' }, { ...entry, result: 'intent' }, { ...entry, reason: 'replay' }, { ...entry, generation: 10 }, { ...entry, generation: undefined }, { ...entry, kid: undefined }, { ...entry, kid: BASE }])).toEqual([]);
  });

  test('names the versions that are lost', () => {
    expect(knownEnds(entriesAbove(log('create', 'rotate 2'), 10), new Map()).lost).toEqual([`${BASE}#v1`, `${BASE}#v2`]);
  });
});
