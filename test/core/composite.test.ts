import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { COMPOSITE_LABEL, compositeMessage, joinComposite, splitCompositePublic, splitCompositeSignature } from '../../src/core/bundle/composite.ts';

describe('the composite of ML-DSA-65 and Ed25519 (draft-ietf-lamps-pq-composite-sigs-19)', () => {
  test('signs the prefix, its label, the context behind its length, and the SHA-512 of the message', () => {
    const hash = createHash('sha512').update('the deed').digest('hex');
    const head = Buffer.from('CompositeAlgorithmSignatures2025COMPSIG-MLDSA65-Ed25519-SHA512').toString('hex');
    expect(COMPOSITE_LABEL.toString()).toBe('COMPSIG-MLDSA65-Ed25519-SHA512');
    expect(compositeMessage(Buffer.from('the deed'), Buffer.alloc(0)).toString('hex')).toBe(`${head}00${hash}`);
    expect(compositeMessage(Buffer.from('the deed'), Buffer.from('a')).toString('hex')).toBe(`${head}0161${hash}`);
  });

  test('takes a context of 255 bytes and none longer', () => {
    expect(compositeMessage(Buffer.alloc(1), Buffer.alloc(255, 7))).toHaveLength(32 + 30 + 1 + 255 + 64);
    expect(() => compositeMessage(Buffer.alloc(1), Buffer.alloc(256, 7))).toThrow('a context is at most 255 bytes');
  });

  test('writes keys and signatures one behind the other, ML-DSA first, and takes them apart there', () => {
    const [key, keyBehind, signature, signatureBehind] = [1952, 32, 3309, 64].map((length) => Buffer.alloc(length, length)) as [Buffer, Buffer, Buffer, Buffer];
    expect(joinComposite(key, keyBehind)).toEqual(Buffer.concat([key, keyBehind]));
    expect(splitCompositePublic(joinComposite(key, keyBehind))).toEqual({ mlDsa: key, ed25519: keyBehind });
    expect(splitCompositeSignature(joinComposite(signature, signatureBehind))).toEqual({ mlDsa: signature, ed25519: signatureBehind });
  });
});
