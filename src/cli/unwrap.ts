import type { Command, Io } from './command.ts';
import { print } from './answer.ts';
import { UsageError } from './command.ts';
import { connect, connectionAbout, connectionOptions } from './connection.ts';
import { EXIT } from './exit-codes.ts';
import { nameOf, readSmall, writeWhole } from './files.ts';
import { base64Flag, flag, given, isBase64, kidOf } from './flags.ts';
import { whileWaiting } from './progress.ts';

const aadOption = { 'aad-b64': { type: 'string' } } as const;
const aadAbout = { 'aad-b64': 'what it was bound to when it was wrapped' };

/** `ron-kms unwrap`: the data key goes to a private file, or bare to standard output for the next program. */
export const unwrapCommand: Command = {
  name: 'unwrap',
  args: '<file|->',
  summary: 'Unwrap a data key',
  example: 'unwrap disk.wrapped --out disk.key',
  options: { out: { type: 'string' }, kid: { type: 'string' }, ...aadOption, ...connectionOptions },
  about: { out: 'write the bare bytes of the key there, mode 0600; left out, its base64 is printed', kid: 'refuse what another key wrapped', ...aadAbout, ...connectionAbout },
  async run(parsed, io) {
    const kid = flag(parsed, 'kid');
    const body = given({ kid: kid === undefined ? undefined : kidOf(kid, '--kid'), aad_b64: base64Flag(parsed, 'aad-b64') });
    const wrapped = await readWrapped(parsed.args[0] ?? '-', io);
    const client = await connect(parsed, io);
    const answer = await whileWaiting(io, 'waiting for the service', client.unwrap({ wrapped_b64: wrapped, ...body }));
    const out = flag(parsed, 'out');
    if (out === undefined) {
      print(parsed, io, answer, () => answer.plaintext_key_b64);
      return EXIT.ok;
    }
    // A key that went to a file is not repeated on the screen or in a log of the output.
    const { plaintext_key_b64: plaintext, ...shown } = answer;
    await writeWhole(out, Buffer.from(plaintext, 'base64'), io, { isPrivate: true });
    print(parsed, io, shown, () => `unwrapped by ${shown.kid}\n  key        in ${out}, mode 0600\n  log entry  ${shown.audit.index}`);
    return EXIT.ok;
  },
};

/** `ron-kms rewrap`: to the current version of its key; the plaintext stays in the service. */
export const rewrapCommand: Command = {
  name: 'rewrap',
  args: '<file|->',
  summary: 'Wrap a wrapped key again, to the current version, without showing it',
  example: 'rewrap disk.wrapped --out disk.wrapped',
  options: { out: { type: 'string' }, ...aadOption, ...connectionOptions },
  about: { out: 'write the wrapped key there, as base64; left out, it is printed', ...aadAbout, ...connectionAbout },
  async run(parsed, io) {
    const body = given({ aad_b64: base64Flag(parsed, 'aad-b64') });
    const wrapped = await readWrapped(parsed.args[0] ?? '-', io);
    const client = await connect(parsed, io);
    const answer = await whileWaiting(io, 'waiting for the service', client.rewrap({ wrapped_b64: wrapped, ...body }));
    const out = flag(parsed, 'out');
    if (out !== undefined) await writeWhole(out, `${answer.wrapped_b64}\n`, io, { isPrivate: false });
    print(parsed, io, answer, () => (out === undefined ? answer.wrapped_b64 : `wrapped by ${answer.kid}\n  wrapped    in ${out}\n  log entry  ${answer.audit.index}`));
    return EXIT.ok;
  },
};

/** What `wrap --out` wrote, or the answer of the API in JSON. */
async function readWrapped(path: string, io: Io): Promise<string> {
  const text = (await readSmall(path, io)).toString('utf8').trim();
  const wrapped = text.startsWith('{') ? fieldOf(text) : text;
  if (wrapped === undefined || wrapped === '' || !isBase64(wrapped)) throw new UsageError(`${nameOf(path)} is not a wrapped key: it is the base64 that ron-kms wrap --out writes, or the JSON of its answer`);
  return wrapped;
}

function fieldOf(text: string): string | undefined {
  try {
    const answer: unknown = JSON.parse(text);
    return typeof answer === 'object' && answer !== null && 'wrapped_b64' in answer && typeof answer.wrapped_b64 === 'string' ? answer.wrapped_b64 : undefined;
  } catch {
    return undefined;
  }
}
