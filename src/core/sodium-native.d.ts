/** The part of sodium-native that is used; the package brings no types of its own. */
declare module 'sodium-native' {
  interface Sodium {
    readonly crypto_sign_SECRETKEYBYTES: number;
    readonly crypto_sign_PUBLICKEYBYTES: number;
    readonly crypto_sign_BYTES: number;
    sodium_malloc(length: number): Buffer;
    sodium_memzero(buffer: Uint8Array): void;
    crypto_hash_sha256(out: Uint8Array, input: Uint8Array): void;
    randombytes_buf(buffer: Uint8Array): void;
    crypto_sign_seed_keypair(publicKey: Uint8Array, secretKey: Uint8Array, seed: Uint8Array): void;
    crypto_sign_detached(signature: Uint8Array, message: Uint8Array, secretKey: Uint8Array): void;
    crypto_sign_verify_detached(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
  }
  const sodium: Sodium;
  export default sodium;
}
