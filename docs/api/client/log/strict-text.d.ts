/** Standard base64 with padding (RFC 4648 §4) in its one canonical spelling; undefined when it is not that. */
export declare function readBase64(text: string): Buffer | undefined;
/** A whole number without sign or leading zero that JavaScript holds exactly; undefined when it is not that. */
export declare function readDecimal(text: string): number | undefined;
/** What has a length of one byte in front, as names and origins have under an ML-DSA-44 cosignature. */
export declare function isShort(text: string): boolean;
/** C2SP signed-note: a key's name has no Unicode space and no plus; a control character no note may have. */
export declare function isKeyName(text: string): boolean;
