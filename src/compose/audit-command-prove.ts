import type { Command } from '../cli/command.ts';
import type { LoggedEntries } from '../adapters/audit-check/logged-entries.ts';
import { parseCheckpoint } from '../../client/src/log/checkpoint.ts';
import { leafHash } from '../../client/src/log/hash.ts';
import { verifyInclusion } from '../../client/src/log/merkle.ts';
import { parseNote } from '../../client/src/log/note.ts';
import { formatReceipt } from '../../client/src/log/receipt.ts';
import { print } from '../cli/answer.ts';
import { UsageError } from '../cli/command.ts';
import { connect, connectionAbout, connectionOptions } from '../cli/connection.ts';
import { EXIT } from '../cli/exit-codes.ts';
import { writeWhole } from '../cli/files.ts';
import { flag, isOn } from '../cli/flags.ts';
import { whileWaiting } from '../cli/progress.ts';
import { inclusionProof } from '../core/log/proofs.ts';
import { dirAbout, dirOption, openNamed } from './audit-command-directory.ts';

export const proveCommand: Command = {
  name: 'audit prove',
  args: '<index>',
  summary: 'Write the receipt of an entry: the proof that it is in the log (tlog-proof@v1)',
  example: 'audit prove 17 --out deed.receipt',
  options: { out: { type: 'string' }, ...dirOption, ...connectionOptions },
  about: { out: 'the file; - or left out is standard output', ...dirAbout, ...connectionAbout, json: 'print the receipt, or where it went, as JSON' },
  async run(parsed, io) {
    const [text = ''] = parsed.args;
    if (!/^(0|[1-9]\d{0,14})$/.test(text)) throw new UsageError('<index> is a whole number from 0: audit.index of the answer, or what audit grep shows first');
    const index = Number(text);
    const directory = flag(parsed, 'dir');
    const receipt = directory === undefined
      ? await connect(parsed, io).then((client) => whileWaiting(io, 'waiting for the checkpoint that covers it', client.receipt(index)))
      : await receiptFrom(openNamed(directory, io), index);

    const out = flag(parsed, 'out') ?? '-';
    if (out !== '-') {
      await writeWhole(out, receipt, io, { isPrivate: true });
      print(parsed, io, { index, out }, () => `the receipt of entry ${index} is in ${out}; ron-kms audit check-receipt checks it`);
    } else if (isOn(parsed, 'json')) print(parsed, io, { index, receipt }, () => receipt);
    else io.out(receipt);
    return EXIT.ok;
  },
};

/** Made of the files, and held against the checkpoint that it ends with: a proof that proves nothing is not handed out. */
async function receiptFrom(log: LoggedEntries, index: number): Promise<string> {
  if (index < log.first) throw new Error(`entry ${index} was pruned: its hash is all there is`);
  if (index >= log.size) throw new Error(`there is no entry ${index}: the log has ${log.size}`);
  if (index >= log.covered) throw new Error(`entry ${index} is behind the newest checkpoint in these files, which covers ${log.covered}`);
  const entry = Buffer.from([...log.read(index, index + 1)][0]?.bytes ?? []);
  const proof = await inclusionProof(index, log.covered, async (level, at, width) => log.hashes(level, at, width) ?? broken());
  const rootHash = parseCheckpoint(parseNote(log.note)?.text ?? '')?.rootHash ?? broken();
  if (!verifyInclusion({ leafHash: leafHash(entry), index, size: log.covered, proof, rootHash })) broken();
  return formatReceipt({ entry, index, proof, note: log.note });
}

function broken(): never {
  throw new Error('the tiles do not lead from the entry to the checkpoint: ron-kms audit verify tells more');
}
