import { array, assert, constantFrom, dictionary, nat, oneof, option, property, record, string } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseInFull, readEntry } from '../../src/adapters/audit-check/entry-layout.ts';
import { canonicalJson } from '../../src/core/canonical-json.ts';
import { encodeEntry } from '../../src/core/log/entry.ts';

describe('the quick look at an entry', () => {
  const plain = { op: 'sign', op_id: 'o1', corr_id: 'c1', tenant: 'core', kid: 'core/a/ed25519/u#v1', alg: 'ed25519', purpose: 'a', input_hash: 'ab', result: 'ok', reason: undefined, actor: { via: 'tcp' }, policy: undefined, generation: undefined } as const;
  const stamp = { salt: 'a'.repeat(32), boot_id: 'b', ts: '2026-11-23T10:00:00.000Z', mono_ns: '1', key_seq: 1 };

  test('sees what a full one sees, whatever the strings are', () => {
    const words = oneof(string(), string({ unit: 'binary' }), constantFrom('"', '\\', 'é', '\u007f', ' '));
    assert(property(record({ op_id: words, reason: option(words, { nil: undefined }), client_id: words, generation: option(nat(), { nil: undefined }), mode: words }), ({ client_id, mode, ...event }) => {
      const text = encodeEntry({ ...plain, ...event, actor: { client_id, via: 'tcp' }, policy: { mode, decision_id: undefined } }, stamp);
      const [quick, full] = [read(text), parseInFull(Buffer.from(text))];
      expect(typeof quick).toBe('object');
      expect({ ...Object(quick), detail: undefined }).toEqual({ ...Object(full), detail: undefined });
    }));
  });

  test('lets nothing through that is not canonical', () => {
    const text = encodeEntry(plain, stamp);
    const bits = array(string({ unit: constantFrom('"', '{', '}', '[', ']', ',', ':', '\\', ' ', '0', '1', '.', '-', '+', 'e', 'E', 'u', '\n', '\u0000', 'é') }), { minLength: 1, maxLength: 3 });
    assert(property(nat(text.length), nat(4), bits, (at, removed, added) => {
      const changed = text.slice(0, at) + added.join('') + text.slice(at + removed);
      const facts = read(changed);
      if (typeof facts !== 'string') expect(canonicalJson(JSON.parse(changed))).toBe(changed);
    }), { numRuns: 3000 });
  });

  test('and full or quick, members of a wrong kind are told', () => {
    assert(property(dictionary(constantFrom('alg', 'kid', 'key_seq', 'op', 'ts', 'salt', 'actor', 'v', 'mono_ns'), oneof(nat(), string())), (wrong) => {
      const value = { ...(JSON.parse(encodeEntry(plain, stamp)) as object), ...wrong };
      const text = canonicalJson(value);
      const [quick, full] = [read(text), parseInFull(Buffer.from(text))];
      expect(typeof quick).toBe(typeof full);
    }));
  });
});

function read(text: string) {
  const bytes = Buffer.from(text);
  return readEntry(bytes, bytes.toString('latin1'), 0, bytes.length);
}
