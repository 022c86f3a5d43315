export declare const HASH_BYTES = 32;
/** An entry is at most this long: its length has two bytes in a bundle (tlog-tiles). */
export declare const ENTRY_BYTES_MAX = 65535;
export declare function leafHash(entry: Uint8Array): Buffer;
export declare function nodeHash(left: Uint8Array, right: Uint8Array): Buffer;
/** The root of a tree without entries. */
export declare const EMPTY_ROOT: Buffer;
/** By way of hex: half as fast again as asking for a buffer, which is allocated outside the pool. */
export declare function sha256(bytes: Uint8Array): Buffer;
