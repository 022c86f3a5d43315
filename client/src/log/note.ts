import { isKeyName, readBase64 } from './strict-text.ts';

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

const SIGNATURES_MAX = 64;
const KEY_ID_BYTES = 4;
const CONTROL_BUT_NEWLINE = /[^\P{Cc}\n]/u;
const SIGNATURE_LINE = /^— (\S+) (\S+)$/;

/** C2SP signed-note: the text, an empty line, signature lines. Undefined when it is not a note. */
export function parseNote(note: string): Note | undefined {
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n') || CONTROL_BUT_NEWLINE.test(note)) return undefined;
  const lines = note.slice(split + 2, -1).split('\n');
  if (lines.length > SIGNATURES_MAX) return undefined;
  const signatures = lines.map(parseSignature);
  return signatures.every((line) => line !== undefined) ? { text: note.slice(0, split + 1), signatures } : undefined;
}

export function formatSignature({ name, keyId, signature }: SignatureLine): string {
  return `— ${name} ${Buffer.concat([keyId, signature]).toString('base64')}\n`;
}

function parseSignature(line: string): SignatureLine | undefined {
  const [, name = '', encoded = ''] = SIGNATURE_LINE.exec(line) ?? [];
  const bytes = readBase64(encoded);
  if (!isKeyName(name) || bytes === undefined || bytes.length <= KEY_ID_BYTES) return undefined;
  return { name, keyId: bytes.subarray(0, KEY_ID_BYTES), signature: bytes.subarray(KEY_ID_BYTES) };
}
