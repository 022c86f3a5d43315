/** Parsers that are broken on purpose: whether the search finds it (test/fuzz/fuzz.test.ts). */
import type { Primitives } from '../../src/adapters/crypto/public-keys.ts';
import type { SignaturePrimitive } from '../../src/adapters/crypto/signatures.ts';
import type { FuzzTarget } from './engine.ts';
import { httpTarget } from './http-target.ts';
import { pkcs11ModuleTarget, pkcs11ProcessTarget } from './pkcs11-targets.ts';

/** Four bytes, one behind the other, and nothing says which: without looking at coverage one in four billion. */
function magic(input: Buffer): void {
  if (input[0] !== 0x52) return;
  if (input[1] !== 0x4b) return;
  if (input[2] !== 0x57) return;
  if (input[3] !== 0x01) return;
  throw new Error('planted: the magic was found');
}

/** A length that is believed. */
function length(input: Buffer): void {
  if (input.length < 4) return;
  const said = input.readUInt16BE(0);
  if (said > 64 && said <= 300) input.readUInt8(said + 2);
}

/** Two spellings of one thing. */
function spelling(input: Buffer): void {
  const text = input.toString('latin1');
  if (/^\d+$/.test(text) && String(Number(text)) !== text) throw new Error('planted: two spellings');
}

/** A service whose Ed25519 is this one; keys that sign what they are given hand it any message. */
function serviceWith(name: string, sign: (seed: Buffer, message: Buffer, signature: Buffer) => Buffer): FuzzTarget {
  const broken = (sound: SignaturePrimitive): SignaturePrimitive => ({
    ...sound,
    signerFromSeed(seed) {
      const [kept, signer] = [Buffer.from(seed), sound.signerFromSeed(seed)];
      return { ...signer, sign: async (message, context) => sign(kept, message, await signer.sign(message, context)) };
    },
  });
  const watch = ({ signatures, kems }: Primitives): Primitives => ({ kems, signatures: { ...signatures, Ed25519: broken(signatures.Ed25519) } });
  return { ...httpTarget(watch), name };
}

/** A fault that is nobody's refusal, for longer messages. */
function fault(_seed: Buffer, message: Buffer, signature: Buffer): Buffer {
  if (message.length < 16) return signature;
  if (message.length < 200) return signature;
  throw new TypeError('planted');
}

/** The private part where the signature is to stand. */
function leak(seed: Buffer, message: Buffer, signature: Buffer): Buffer {
  return message.length > 32 ? Buffer.concat([seed, seed]) : signature;
}

export const planted: readonly FuzzTarget[] = [
  { name: 'magic', seeds: [Buffer.from('....')], run: magic },
  // What a search has gone through already is counted in the next one too.
  { name: 'magic again', seeds: [Buffer.from('....')], run: magic },
  { name: 'length', seeds: [Buffer.from([0, 2, 1, 1])], run: length },
  { name: 'spelling', seeds: [Buffer.from('12')], run: spelling },
  { ...pkcs11ModuleTarget(() => true), name: 'believed module' },
  { ...pkcs11ProcessTarget((message) => message as never), name: 'believed process' },
  serviceWith('fault', fault),
  serviceWith('leak', leak),
];
