import type { KeyDevice } from '../root-key/key-device.ts';
import type { TokenDevice } from './device.ts';
import { randomBytes } from 'node:crypto';
import { AEAD_NONCE_BYTES, AEAD_TAG_BYTES } from '../../core/algorithm/table.ts';
import { DeviceRefused } from '../root-key/key-device.ts';

/** A root key under a non-extractable AES-256 key of a token's, one for each instance. */
export function createTokenKeyDevice(token: Pick<TokenDevice, 'makeAes256' | 'encrypt' | 'decrypt' | 'close'>): KeyDevice {
  return {
    async seal(key, place) {
      await token.makeAes256(labelOf(place));
      const nonce = randomBytes(AEAD_NONCE_BYTES);
      return { nonce_b64: nonce.toString('base64'), sealed_b64: Buffer.from(await token.encrypt(labelOf(place), nonce, Buffer.from(place), key)).toString('base64') };
    },
    async unseal({ nonce_b64: nonceText, sealed_b64: sealedText }, place) {
      const [nonce, sealed] = [nonceText, sealedText].map((text) => (typeof text === 'string' ? Buffer.from(text, 'base64') : Buffer.alloc(0)));
      if (nonce?.length !== AEAD_NONCE_BYTES || sealed === undefined || sealed.length <= AEAD_TAG_BYTES) throw new DeviceRefused('root-key.json does not hold what a token sealed');
      const opened = await token.decrypt(labelOf(place), nonce, Buffer.from(place), sealed);
      if (opened === undefined) throw new DeviceRefused('the token does not open the root key: root-key.json was changed, or the token was set up anew');
      return Buffer.from(opened.buffer, opened.byteOffset, opened.byteLength);
    },
    close: token.close,
  };
}

function labelOf(place: string): string {
  return `ron-kms root ${place.slice(place.lastIndexOf('/') + 1)}`;
}
