import { sha256 } from '@noble/hashes/sha2.js';
import { ed25519 } from '@noble/curves/ed25519.js';
import { ml_dsa44 } from '@noble/post-quantum/ml-dsa.js';
import { describe, expect, test } from 'vitest';
import type { LogVector } from '../../scripts/log-vector.ts';
import { readVectors } from '../../scripts/make-vectors.ts';
import { checkReceipt, parseVkey, verifyCheckpointNote } from '../../client/src/index.ts';
import { verifyConsistency } from '../../client/src/log/merkle.ts';
import { canonicalJson } from '../../src/core/canonical-json.ts';
import { nobleAccepts, slowCheckpoint, slowCosignedMessage, slowTree } from '../harness/slow-log.ts';
import { hex } from './published.ts';

const { vectors = [], refused = [] } = readVectors().log ?? {};
const [log] = vectors as readonly [LogVector];
const keysOf = (keys: LogVector['first_keys']) => keys.map(({ vkey }) => parseVkey(vkey)).filter((key) => key !== undefined);
const [first, next] = [keysOf(log.first_keys), keysOf(log.next_keys)];
const slow = slowTree((index) => Buffer.from(log.entries[index]?.json ?? ''));

interface LogKeys {
  readonly keys: readonly string[];
  readonly reason: string;
  readonly signatures?: readonly { readonly key_id: string; readonly signature_b64: string }[];
}

describe('docs/formats/vectors/log.json', () => {
  test('is whole: one log, 7 entries, 3 checkpoints, 2 receipts, 15 refused ones', () => {
    expect([vectors, log.entries, log.checkpoints, log.receipts, refused].map(({ length }) => length)).toEqual([1, 7, 3, 2, 15]);
  });

  test('its keys are those of the seeds, for other libraries too', () => {
    for (const { alg, seed_hex: seed, vkey } of [...log.first_keys, ...log.next_keys]) {
      const publicKey = alg === 'ed25519' ? ed25519.getPublicKey(hex(seed)) : ml_dsa44.keygen(hex(seed)).publicKey;
      const material = Buffer.concat([Buffer.of(alg === 'ed25519' ? 1 : 6), publicKey]);
      const id = Buffer.from(sha256(Buffer.concat([Buffer.from(`${log.origin}\n`), material]))).toString('hex', 0, 4);
      expect(vkey).toBe(`${log.origin}+${id}+${material.toString('base64')}`);
    }
  });

  test('its entries are canonical, and make the hashes, roots and tiles', () => {
    for (const [i, { json, leaf_hash_hex: leaf, root_hash_hex: root }] of log.entries.entries()) {
      expect(canonicalJson(JSON.parse(json))).toBe(json);
      expect(leaf).toBe(slow.hash(i, i + 1));
      expect(root).toBe(slow.hash(0, i + 1));
    }
    const bundle = log.entries.map(({ json }) => `${Buffer.byteLength(json).toString(16).padStart(4, '0')}${Buffer.from(json).toString('hex')}`);
    expect(log.tiles).toEqual([
      { path: 'tile/0/000.p/7', hex: log.entries.map(({ leaf_hash_hex: leaf }) => leaf).join('') },
      { path: 'tile/entries/000.p/7', hex: bundle.join('') },
    ]);
  });

  test.each(log.checkpoints)('the checkpoint of $size is signed by $signed_by, and noble agrees', ({ size, timestamp_s: timestampS, signed_by: signedBy, cosigned_message_hex: message, note }) => {
    const checkpoint = { origin: log.origin, size, rootHash: hex(slow.hash(0, size)) };
    const keys = signedBy.flatMap((name) => keysOf(log[name]));
    expect(verifyCheckpointNote(note, keys)).toMatchObject({ checkpoint, timestampS, signedBy: expect.arrayContaining(keys) });
    expect(message).toBe(Buffer.from(slowCosignedMessage(log.origin, timestampS, checkpoint)).toString('hex'));
    expect(note.startsWith(`${slowCheckpoint(checkpoint)}\n`)).toBe(true);
    for (const key of keys.filter(({ type }) => type === 6)) expect(nobleAccepts(note, key)).toBe(true);
    for (const key of keys.filter(({ type }) => type === 1)) {
      const line = note.split('\n').map((line) => Buffer.from(line.split(' ')[2] ?? '', 'base64')).find((blob) => blob.subarray(0, 4).equals(key.keyId));
      expect(ed25519.verify(line?.subarray(4) ?? Buffer.alloc(64), Buffer.from(slowCheckpoint(checkpoint)), key.publicKey)).toBe(true);
    }
  });

  test('a verifier with the first keys follows the change of keys to the last checkpoint', () => {
    const [before, between, after] = log.checkpoints;
    expect(verifyCheckpointNote(after?.note ?? '', first)).toHaveProperty('fault');
    // The checkpoint that both signed covers the entry that announces the next keys.
    expect(verifyCheckpointNote(between?.note ?? '', first)).toMatchObject({ checkpoint: { size: 6 } });
    const { log_keys: announced } = JSON.parse(log.entries[4]?.json ?? '') as { log_keys: LogKeys };
    expect(announced.keys).toEqual(log.next_keys.map(({ vkey }) => vkey));
    const message = Buffer.from(`ron-kms/log-keys/v1\n${log.origin}\n${announced.keys.map((vkey) => `${vkey}\n`).join('')}`);
    for (const { type, keyId, publicKey } of first) {
      const signature = Buffer.from(announced.signatures?.find((one) => one.key_id === keyId.toString('hex'))?.signature_b64 ?? '', 'base64');
      expect(type === 1 ? ed25519.verify(signature, message, publicKey) : ml_dsa44.verify(signature, message, publicKey)).toBe(true);
    }
    expect(verifyCheckpointNote(after?.note ?? '', next)).toMatchObject({ checkpoint: { size: 7 } });
    const { old_size: oldSize, new_size: newSize, proof_hex: proof } = log.consistency;
    expect(proof).toEqual(slow.proof(oldSize, newSize));
    expect(verifyConsistency({ oldSize, newSize, oldRoot: hex(slow.hash(0, oldSize)), newRoot: hex(slow.hash(0, newSize)), proof: proof.map(hex) })).toBe(true);
    expect([before?.size, after?.size]).toEqual([oldSize, newSize]);
  });

  test.each(log.receipts)('the receipt of entry $index holds under the next keys, and under no others', ({ index, text }) => {
    expect(checkReceipt(text, next)).toMatchObject({ ok: true, index, fields: JSON.parse(log.entries[index]?.json ?? '') as object });
    expect(text.split('\n').slice(3, text.split('\n').indexOf(''))).toEqual(slow.path(index, 7).map((hash) => hex(hash).toString('base64')));
    expect(checkReceipt(text, first)).toMatchObject({ ok: false });
  });

  test.each(refused)('no receipt: $name', ({ text }) => {
    expect(checkReceipt(text, next)).toMatchObject({ ok: false });
    expect(checkReceipt(text, [...first, ...next])).toMatchObject({ ok: false });
  });
});
