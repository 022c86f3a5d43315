export interface SignatureLine {
    readonly name: string;
    readonly keyId: Buffer;
    /** What follows the key id; its form is the signature type's. */
    readonly signature: Buffer;
}
export interface Note {
    /** With its last newline: what is signed. */
    readonly text: string;
    readonly signatures: readonly SignatureLine[];
}
/** C2SP signed-note: the text, an empty line, signature lines. Undefined when it is not a note. */
export declare function parseNote(note: string): Note | undefined;
export declare function formatSignature({ name, keyId, signature }: SignatureLine): string;
