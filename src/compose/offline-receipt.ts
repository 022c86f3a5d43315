import type { SignAnswer } from '../../client/src/wire.ts';
import { checkReceipt, formatReceipt, parseReceipt } from '../../client/src/log/receipt.ts';
import { parseVkey, SIGNATURE_TYPE } from '../../client/src/log/vkey.ts';
import { blake3Hex } from '../core/digest.ts';

export interface Signed {
  /** Of the log, pinned. */
  readonly vkeys: readonly string[];
  readonly file: Uint8Array;
  readonly signed: Pick<SignAnswer, 'kid' | 'audit'>;
}

const KINDS: readonly (readonly [number, string])[] = [[SIGNATURE_TYPE.ed25519, 'Ed25519'], [SIGNATURE_TYPE.mlDsa44Cosignature, 'ML-DSA-44']];

/** Throws unless the receipt proves that the log holds this signature, under a key of each kind, and refuses it with one bit changed; says what was proven. */
export function checkOffline(receipt: string, { vkeys, file, signed: { kid, audit } }: Signed): string {
  const keys = vkeys.flatMap((text) => parseVkey(text) ?? []);
  const kinds = KINDS.filter(([type]) => keys.some((key) => key.type === type)).map(([, name]) => name);
  if (kinds.length !== KINDS.length) throw new Error('the log should have a key of each kind');

  const checked = checkReceipt(receipt, keys);
  if (!checked.ok) throw new Error(`the receipt does not hold: ${checked.why}`);
  const { index, checkpoint, fields } = checked;
  const isOurs = index === audit.index && fields['op'] === 'sign' && fields['op_id'] === audit.op_id && fields['kid'] === kid && fields['input_hash'] === blake3Hex(file);
  if (!isOurs) throw new Error('the receipt is of another operation');

  const changed = checkReceipt(withOneBitChanged(receipt), keys);
  if (changed.ok) throw new Error('a changed receipt was believed');
  return [
    `entry ${index} of ${checkpoint.size}: sign of this file with ${kid}`,
    `the head over it is signed with ${kinds.join(' and ')}`,
    `with one bit of it changed: refused, ${changed.why}`,
  ].join('\n');
}

function withOneBitChanged(text: string): string {
  const receipt = parseReceipt(text);
  if (receipt?.entry === undefined) throw new Error('the receipt does not carry its entry');
  const entry = Buffer.from(receipt.entry);
  const middle = Math.floor(entry.length / 2);
  entry.writeUInt8(entry.readUInt8(middle) ^ 1, middle);
  return formatReceipt({ ...receipt, entry });
}
