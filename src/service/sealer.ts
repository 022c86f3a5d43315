import type { Aead } from '../core/algorithm/table.ts';
import type { Custody } from '../ports/custody.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { PublicKeys } from '../ports/public-keys.ts';
import type { Subject } from './call.ts';
import type { ReserveNonces } from './reserve-nonces.ts';
import { AEAD_NONCE_BYTES } from '../core/algorithm/table.ts';
import { encodeEnvelope, envelopeHeader } from '../core/envelope/envelope.ts';
import { KmsError } from '../core/errors.ts';

/** Makes the envelope of a wrapped key: what wrap and rewrap share. */
export interface Sealer {
  seal(subject: Subject, plaintext: Buffer, aad: Buffer, nonce: Buffer | undefined): Promise<Buffer>;
}

export interface SealerDeps {
  readonly custody: Custody;
  readonly store: KeyStore;
  readonly publicKeys: PublicKeys;
  readonly reserveNonces: ReserveNonces;
  /** The AEAD of KEM envelopes: the first of `service.allowed_aeads`. */
  readonly kemAead: () => Aead;
}

export function makeSealer({ custody, store, publicKeys, reserveNonces, kemAead }: SealerDeps): Sealer {
  /** The counter moves before the nonce is used: a crash in between skips it, and never gives it again. */
  const takeNonce = async (subject: Subject, asked: bigint | undefined): Promise<bigint> => {
    for (;;) {
      const taken = await store.takeNonce(subject.version.kid, asked);
      if (taken === undefined) throw new KmsError('NonceReuse', { hint: 'leave nonce_b64 out to get the next one' });
      if (taken !== 'reserve') return taken;
      await reserveNonces(subject, asked);
    }
  };

  return {
    async seal(subject, plaintext, aad, nonce) {
      const { version, spec } = subject;
      if (spec.kind === 'kem') {
        const part = version.publicParts[0];
        if (part === undefined) throw new Error('a KEM version has a public part');
        const aead = kemAead();
        const header = envelopeHeader(version.kid, spec.kem, aead);
        const { enc, ciphertext } = publicKeys.seal(spec.kem, aead, part, header, aad, plaintext);
        return encodeEnvelope(header, enc, ciphertext);
      }
      if (spec.kind !== 'aead') throw new Error('a signing key seals nothing');
      const header = envelopeHeader(version.kid, undefined, spec.aead);
      const iv = toNonce(await takeNonce(subject, nonce && toCounter(nonce)));
      return encodeEnvelope(header, iv, await custody.sealAead(version, spec.aead, iv, Buffer.concat([header, aad]), plaintext));
    },
  };
}

/** AEAD nonces are 96-bit big-endian counters (DESIGN §3). */
function toCounter(nonce: Buffer): bigint {
  return BigInt(`0x${nonce.toString('hex')}`);
}

function toNonce(counter: bigint): Buffer {
  return Buffer.from(counter.toString(16).padStart(2 * AEAD_NONCE_BYTES, '0'), 'hex');
}
