import type { CheckedReceipt } from '../../client/src/log/receipt.ts';
import type { VerifierKey } from '../../client/src/log/vkey.ts';
import type { AuditEntry } from '../../client/src/wire.ts';
import type { Command, Io, Parsed } from './command.ts';
import { checkReceipt, formatReceipt, parseReceipt } from '../../client/src/log/receipt.ts';
import { verifyCheckpointNote } from '../../client/src/log/verify-note.ts';
import { formatRfc3339 } from '../core/time.ts';
import { print, remark } from './answer.ts';
import { keyName, missingKind, pinAbout, pinnedKeys, pinOptions, vkeyTexts } from './audit-pinned-keys.ts';
import { recordLine } from './audit-text.ts';
import { UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { nameOf, readSmall } from './files.ts';
import { flag } from './flags.ts';
import { printable } from './printable.ts';

/** `ron-kms audit check-receipt`: nothing but the file and the keys has a part in it. */
export const checkReceiptCommand: Command = {
  name: 'audit check-receipt',
  args: '<file|->',
  summary: 'Say whether a receipt proves its entry, from public keys alone',
  example: 'audit check-receipt deed.receipt --keys log-keys.json',
  options: { ...pinOptions, entry: { type: 'string' }, json: { type: 'boolean' } },
  about: { ...pinAbout, entry: 'a file with the entry that it has to be of, as it was hashed; needed where the receipt carries none', json: 'print it as JSON' },
  async run(parsed, io) {
    const keys = await pinnedKeys(parsed, io);
    const path = parsed.args[0] ?? '-';
    const entryPath = flag(parsed, 'entry');
    if (path === '-' && entryPath === '-') throw new UsageError('only one of the receipt and the entry can be standard input');
    const text = (await readSmall(path, io)).toString('utf8');
    const checked = check(text, keys, entryPath === undefined ? undefined : await readSmall(entryPath, io));
    if (checked.ok) tell(parsed, io, { checked, text, keys });
    else print(parsed, io, { ok: false, why: checked.why }, () => `${nameOf(path)} proves nothing: ${printable(checked.why)}`);
    return checked.ok ? EXIT.ok : EXIT.invalid;
  },
};

/** With an entry at hand the receipt has to be of that one. */
function check(text: string, keys: readonly VerifierKey[], entry: Buffer | undefined): CheckedReceipt {
  const receipt = parseReceipt(text);
  if (entry === undefined || receipt === undefined) return checkReceipt(text, keys);
  if (receipt.entry?.equals(entry) === false) return { ok: false, why: 'it is of another entry than the one that was given' };
  return checkReceipt(formatReceipt({ ...receipt, entry }), keys);
}

interface Told {
  readonly checked: Extract<CheckedReceipt, { ok: true }>;
  readonly text: string;
  readonly keys: readonly VerifierKey[];
}

function tell(parsed: Parsed, io: Io, { checked: { index, entry, fields, checkpoint, timestampS }, text, keys }: Told): void {
  const { origin, size, rootHash } = checkpoint;
  const verified = verifyCheckpointNote(parseReceipt(text)?.note ?? '', keys);
  const signers = 'fault' in verified ? [] : verified.signedBy;
  const time = timestampS === undefined ? undefined : formatRfc3339(timestampS * 1000);
  const missing = missingKind(keys, origin);
  if (missing !== undefined) remark(parsed, io, missing);
  const answer = { ok: true, index, origin, tree_size: size, root_hash: rootHash.toString('base64'), signed_by: vkeyTexts(signers), ...(time !== undefined && { signed_at: time }), entry: fields };
  print(parsed, io, answer, () => [
    `entry ${index} is in the log ${printable(origin)}`,
    recordLine({ index, entry: fields as unknown as AuditEntry, text: entry.toString('utf8') }),
    `  tree       ${size} entries, root ${rootHash.toString('base64')}`,
    ...signers.map((key) => `  signed by  ${keyName(key)}`),
    ...(time === undefined ? [] : [`  signed at  ${time}`]),
  ].join('\n'));
}
