import { chacha20, hchacha } from '@noble/ciphers/chacha.js';
import { poly1305 } from '@noble/ciphers/_poly1305.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { readFileSync } from 'node:fs';
import canonicalize from 'canonicalize';
import { describe, expect, test } from 'vitest';

const vectors = new URL('../../docs/formats/vectors/', import.meta.url);
const file = readFileSync(new URL('backup-v1.kmsbackup', vectors));
const vector = JSON.parse(readFileSync(new URL('backup.json', vectors), 'utf8')) as { keyfile_hex: string; root_keys: { epoch: string; key_hex: string }[]; manifest: { database: { bytes: number } } };

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const words = (bytes: Uint8Array): Uint32Array => new Uint32Array(Uint8Array.from(bytes).buffer);
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const SIGMA = words(utf8('expand 32-byte k'));

interface Message {
  readonly plaintext: Buffer;
  readonly tag: number;
}

/** libsodium's secretstream once more, slowly, from its published construction. */
function messagesIn(stream: Buffer, key: Uint8Array, associated: Uint8Array): readonly Message[] {
  const subkey = new Uint32Array(8);
  hchacha(SIGMA, words(key), words(stream.subarray(0, 16)), subkey);
  const k = new Uint8Array(subkey.buffer);
  const nonce = Buffer.concat([Buffer.of(1, 0, 0, 0), stream.subarray(16, 24)]);
  const found: Message[] = [];
  let ad: Uint8Array = associated;
  for (let at = 24; at < stream.length;) {
    const length = stream.readUInt32BE(at);
    const [sealed, mac] = [stream.subarray(at + 4, at + 4 + length - 16), stream.subarray(at + 4 + length - 16, at + 4 + length)];
    at += 4 + length;
    const polyKey = chacha20(k, nonce, new Uint8Array(32), undefined, 0);
    const keystream = Buffer.from(chacha20(k, nonce, new Uint8Array(64), undefined, 1));
    const block = Buffer.concat([sealed.subarray(0, 1), keystream.subarray(1)]);
    const ciphertext = sealed.subarray(1);
    const padding = Buffer.alloc((16 - 64 + ciphertext.length) & 15);
    const maced = Buffer.concat([ad, Buffer.alloc(-ad.length & 15), block, ciphertext, padding, u64(ad.length), u64(64 + ciphertext.length)]);
    if (!Buffer.from(poly1305(maced, polyKey)).equals(mac)) throw new Error(`message ${found.length} does not authenticate`);
    found.push({ tag: (sealed[0] ?? 0) ^ (keystream[0] ?? 0), plaintext: Buffer.from(chacha20(k, nonce, ciphertext, undefined, 2)) });
    for (let i = 0; i < 8; i++) nonce[4 + i] = (nonce[4 + i] ?? 0) ^ (mac[i] ?? 0);
    nonce.writeUInt32LE(nonce.readUInt32LE() + 1);
    ad = new Uint8Array(0);
  }
  return found;
}

describe('the committed backup', () => {
  const line = file.subarray(0, file.indexOf(0x0a) + 1);
  const header = JSON.parse(line.toString('utf8')) as { instance_id: string; seal: string };
  const key = hkdf(sha256, Buffer.from(vector.keyfile_hex, 'hex'), utf8(header.instance_id), utf8('ron-kms::ron-kms::backup::keyfile'), 32);
  const messages = messagesIn(file.subarray(line.length), key, line);

  test('has a canonical header, and frames that open as its page says, the last one marked so', () => {
    expect(`${canonicalize(header)}\n`).toBe(line.toString('utf8'));
    expect(header.seal).toBe('keyfile');
    expect(messages.map(({ tag }) => tag)).toEqual([...messages.slice(1).map(() => 0), 3]);
  });

  test('holds manifest, root keys, and the store bit for bit', () => {
    const [manifest, rootKeys, ...database] = messages.map(({ plaintext }) => plaintext);
    expect(manifest?.toString('utf8')).toBe(canonicalize(vector.manifest));
    expect(rootKeys?.toString('hex')).toBe(vector.root_keys.map((one) => one.epoch + one.key_hex).join(''));
    expect(Buffer.concat(database).equals(readFileSync(new URL('store-v1.db', vectors)))).toBe(true);
  });
});
