/** C2SP signature types: Ed25519 over the note text, and the two timestamped cosignatures. */
export declare const SIGNATURE_TYPE: {
    readonly ed25519: 1;
    readonly ed25519Cosignature: 4;
    readonly mlDsa44Cosignature: 6;
};
export type SignatureType = (typeof SIGNATURE_TYPE)[keyof typeof SIGNATURE_TYPE];
export interface VerifierKey {
    readonly name: string;
    /** 4 bytes: which key a signature line means. No fingerprint; two keys may be made to share it. */
    readonly keyId: Buffer;
    readonly type: SignatureType;
    readonly publicKey: Buffer;
}
export declare function vkeyOf(name: string, type: SignatureType, publicKey: Uint8Array): VerifierKey;
/** `<name>+<key id, 8 hex>+<base64 of type and public key>`; undefined when it is not one, or of a type not known here. */
export declare function parseVkey(text: string): VerifierKey | undefined;
export declare function formatVkey({ name, keyId, type, publicKey }: VerifierKey): string;
