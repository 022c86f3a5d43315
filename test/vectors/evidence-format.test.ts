import { ed25519 } from '@noble/curves/ed25519.js';
import { p256 } from '@noble/curves/nist.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { checkEvidence } from '../../client/src/log/evidence.ts';

interface Vector {
  readonly name: string;
  readonly key: string;
  readonly nonce_hex: string;
  readonly kid: string;
  readonly public_b64: readonly string[];
  readonly evidence_b64: string;
}

interface Document {
  readonly key: string;
  readonly statement_b64: string;
  readonly proof: { readonly quoted_b64?: string; readonly signature_b64: string };
}

const { vectors } = JSON.parse(readFileSync(new URL('../../docs/formats/vectors/evidence.json', import.meta.url), 'utf8')) as { readonly vectors: readonly Vector[] };
const bytes = (text: string): Buffer => Buffer.from(text, 'base64');
const pinsOf = ({ key, nonce_hex: nonce, kid, public_b64: parts }: Vector) => ({
  keys: [key], nonce: Buffer.from(nonce, 'hex'), kid, publicSha256: createHash('sha256').update(Buffer.concat(parts.map(bytes))).digest('hex'),
});

/** docs/formats/evidence.md once more, with another library. */
function isSignedSlowly({ key, statement_b64: statement, proof }: Document): boolean {
  const message = Buffer.concat([Buffer.from('ron-kms/evidence/v1\n'), bytes(statement)]);
  const [kind, text = ''] = key.split(':');
  if (kind === 'ed25519') return ed25519.verify(bytes(proof.signature_b64), message, bytes(text), { zip215: false });
  const quoted = bytes(proof.quoted_b64 ?? '');
  // TPMS_ATTEST: magic, type, the signer's name, then the extra data.
  const at = 8 + quoted.readUInt16BE(6);
  const extra = quoted.subarray(at + 2, at + 2 + quoted.readUInt16BE(at));
  return quoted.toString('hex', 0, 6) === 'ff5443478018' && extra.equals(Buffer.from(sha256(message))) && p256.verify(bytes(proof.signature_b64), sha256(quoted), bytes(text), { prehash: false, lowS: false });
}

test('there are vectors of both kinds', () => {
  expect(vectors.map(({ key }) => key.split(':')[0])).toEqual(['p256', 'ed25519']);
});

test.each(vectors)('$name is good for its pins, and for another implementation', (vector) => {
  expect(checkEvidence(bytes(vector.evidence_b64), pinsOf(vector))).toMatchObject({ ok: true, problems: [] });
  expect(isSignedSlowly(JSON.parse(bytes(vector.evidence_b64).toString()) as Document)).toBe(true);
});

test.each(vectors)('$name is no good with any one bit flipped', (vector) => {
  const whole = bytes(vector.evidence_b64);
  for (let bit = 0; bit < 8 * whole.length; bit++) {
    const changed = Buffer.from(whole);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(checkEvidence(changed, pinsOf(vector)).ok, `bit ${bit}`).toBe(false);
  }
});

test('what is no evidence at all is refused and never thrown at', () => {
  for (const text of ['', '{}', 'null', '[]', '{"v":1}', '{"v":1,"key":"p256:","statement_b64":"e30=","proof":{"signature_b64":""}}', '{"v":1,"key":"p256:AA==","statement_b64":"bnVsbA==","proof":{"signature_b64":"AA=="}}']) {
    expect(checkEvidence(Buffer.from(text), { keys: ['p256:'] })).toMatchObject({ ok: false });
  }
});
