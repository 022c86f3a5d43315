import type { AuditEvent } from '../../src/core/log/entry.ts';
import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeEntry, entryAttestation } from '../../src/core/log/entry.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 8 });
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const stamp = fc.record({ salt: text, boot_id: text, ts: text, mono_ns: text, key_seq: maybe(fc.nat()) });
const event: fc.Arbitrary<AuditEvent> = fc.record({
  op: fc.constantFrom('sign', 'backup'), op_id: text, corr_id: text, tenant: maybe(text), kid: maybe(text), alg: maybe(text), purpose: maybe(text), input_hash: text, result: text,
  reason: maybe(text), actor: fc.record({ via: text, client_id: text, root_key_id: text, token_id: text, peer: maybe(text) }, { requiredKeys: ['via'] }),
  policy: maybe(fc.record({ mode: text, decision_id: maybe(text) })), generation: maybe(fc.nat()),
  attestation: fc.record({ class: text, evidence_sha256: text }), detail: fc.record({ checkpoint: fc.record({ size: fc.nat(), root_hash: text }), anchor: fc.record({ value: fc.nat(), tree_size: fc.nat(), root_hash: text }) }),
}, { requiredKeys: ['op', 'op_id', 'corr_id', 'tenant', 'kid', 'alg', 'purpose', 'input_hash', 'result', 'reason', 'actor', 'policy', 'generation'] });

test('an entry is all that was said and stamped, and nothing else, in the canonical form of RFC 8785', () => {
  fc.assert(fc.property(event, stamp, ({ detail, ...said }, stamped) => {
    const whole = JSON.parse(JSON.stringify({ ...said, ...stamped, ...detail, v: 1 })) as object;
    expect(encodeEntry(detail === undefined ? said : { ...said, detail }, stamped)).toBe(canonicalize(whole));
  }));
});

test('an entry tells of evidence by its SHA-256 and its class', () => {
  expect(entryAttestation({ class: 'tpm', evidence: Buffer.from('a quote') })).toEqual({ class: 'tpm', evidence_sha256: createHash('sha256').update('a quote').digest('hex') });
});
