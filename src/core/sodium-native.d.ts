/** The part of sodium-native that is used; the package brings no types of its own. */
declare module 'sodium-native' {
  interface Sodium {
    readonly crypto_sign_SECRETKEYBYTES: number;
    readonly crypto_sign_PUBLICKEYBYTES: number;
    readonly crypto_sign_BYTES: number;
    readonly crypto_pwhash_SALTBYTES: number;
    readonly crypto_pwhash_ALG_ARGON2ID13: number;
    sodium_malloc(length: number): Buffer;
    sodium_memzero(buffer: Uint8Array): void;
    sodium_memcmp(a: Uint8Array, b: Uint8Array): boolean;
    crypto_generichash(out: Uint8Array, input: Uint8Array, key: Uint8Array): void;
    crypto_hash_sha256(out: Uint8Array, input: Uint8Array): void;
    randombytes_buf(buffer: Uint8Array): void;
    crypto_sign_seed_keypair(publicKey: Uint8Array, secretKey: Uint8Array, seed: Uint8Array): void;
    crypto_sign_detached(signature: Uint8Array, message: Uint8Array, secretKey: Uint8Array): void;
    crypto_sign_verify_detached(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
    readonly crypto_secretstream_xchacha20poly1305_STATEBYTES: number;
    readonly crypto_secretstream_xchacha20poly1305_HEADERBYTES: number;
    readonly crypto_secretstream_xchacha20poly1305_ABYTES: number;
    readonly crypto_secretstream_xchacha20poly1305_TAG_MESSAGE: number;
    readonly crypto_secretstream_xchacha20poly1305_TAG_FINAL: number;
    crypto_secretstream_xchacha20poly1305_init_push(state: Buffer, header: Buffer, key: Buffer): void;
    crypto_secretstream_xchacha20poly1305_push(state: Buffer, ciphertext: Buffer, plaintext: Buffer, associated: Buffer | null, tag: number): number;
    crypto_secretstream_xchacha20poly1305_init_pull(state: Buffer, header: Buffer, key: Buffer): void;
    crypto_secretstream_xchacha20poly1305_pull(state: Buffer, plaintext: Buffer, tag: Buffer, ciphertext: Buffer, associated: Buffer | null): number;
    crypto_pwhash(out: Uint8Array, password: Uint8Array, salt: Uint8Array, passes: number, memoryBytes: number, alg: number): void;
  }
  const sodium: Sodium;
  export default sodium;
}
