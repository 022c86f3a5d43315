import type { Key, SignAnswer } from '../../client/src/wire.ts';
import { ed25519 } from '@noble/curves/ed25519.js';
import { blake3 } from '@noble/hashes/blake3.js';
import { ml_dsa65 as mlDsa65 } from '@noble/post-quantum/ml-dsa.js';

/** How the noble libraries check one signature; they share no code with what made it. */
const checks: Readonly<Record<string, (signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array) => boolean>> = {
  ed25519: (signature, message, publicKey) => ed25519.verify(signature, message, publicKey),
  'ml-dsa': (signature, message, publicKey) => mlDsa65.verify(signature, message, publicKey),
};

/** Throws unless every signature of a hybrid key over the file's BLAKE3 is valid; says what was checked. */
export function checkIndependently(file: Uint8Array, key: Key, { kid, sigs }: SignAnswer): string {
  const digest = blake3(file);
  const version = key.versions.find((one) => one.kid === kid);
  const valid = sigs.map(({ alg, signature_b64: signature }) => {
    const part = version?.public.find((one) => one.alg === alg);
    if (part === undefined || checks[alg]?.(Buffer.from(signature, 'base64'), digest, Buffer.from(part.pubkey_b64, 'base64')) !== true) throw new Error(`the independent check of ${alg} failed`);
    return `${alg} valid`;
  });
  if (valid.length !== 2) throw new Error('two signatures were expected');
  return valid.join(', ');
}
