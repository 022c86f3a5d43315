import type { WrapAnswer } from '../../client/src/wire.ts';
import type { Command, Parsed } from './command.ts';
import { print } from './answer.ts';
import { UsageError } from './command.ts';
import { connect, connectionAbout, connectionOptions } from './connection.ts';
import { EXIT } from './exit-codes.ts';
import { readSmall, writeWhole } from './files.ts';
import { base64Flag, flag, given, isOn, kidOf, oneOf } from './flags.ts';
import { whileWaiting } from './progress.ts';

const PLAINTEXT_BYTES_MAX = 4096;

/** `ron-kms wrap`: a data key of one's own, or one made by the service. Plaintext comes back only where it is asked for. */
export const wrapCommand: Command = {
  name: 'wrap',
  summary: 'Wrap a data key',
  example: 'wrap --kid core/wrap/x25519+ml-kem/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b --size 32 --out disk.wrapped --key-out disk.key',
  options: {
    kid: { type: 'string' }, size: { type: 'string' }, in: { type: 'string' }, out: { type: 'string' }, 'key-out': { type: 'string' }, plaintext: { type: 'boolean' },
    'aad-b64': { type: 'string' }, 'kem-mode': { type: 'string' }, 'nonce-b64': { type: 'string' }, 'op-id': { type: 'string' }, ...connectionOptions,
  },
  about: {
    kid: 'the key that wraps; without #vN its current version', size: 'let the service make a data key of 16 to 64 bytes', in: 'wrap the bytes of this file, or - for standard input',
    out: 'write the wrapped key there, as base64', 'key-out': 'write the generated key there, its bare bytes, mode 0600', plaintext: 'print the generated key too',
    'aad-b64': 'what the wrapped key is bound to; unwrap needs the same', 'kem-mode': 'hybrid, classical or pq: refuse a key of another kind',
    'nonce-b64': '12 bytes, for symmetric keys', 'op-id': 'a name for the entry in the log', ...connectionAbout,
  },
  async run(parsed, io) {
    const kid = kidOf(flag(parsed, 'kid'), '--kid');
    const keyOut = flag(parsed, 'key-out');
    const wantsPlaintext = isOn(parsed, 'plaintext') || keyOut !== undefined;
    const path = flag(parsed, 'in');
    if (path !== undefined && wantsPlaintext) throw new UsageError('--plaintext and --key-out are for a key that the service makes: give --size, not --in');
    const size = sizeFlag(parsed, path);
    const more = given({
      aad_b64: base64Flag(parsed, 'aad-b64'), nonce_b64: base64Flag(parsed, 'nonce-b64'), kem_mode: oneOf(parsed, 'kem-mode', ['hybrid', 'classical', 'pq']), op_id: flag(parsed, 'op-id'),
    });
    const client = await connect(parsed, io);
    const what = path === undefined ? given({ size, return_plaintext: wantsPlaintext }) : { plaintext_key_b64: (await readKey(path)).toString('base64') };
    const answer = await whileWaiting(io, 'waiting for the service', client.wrap({ kid, ...what, ...more }));

    const out = flag(parsed, 'out');
    if (out !== undefined) await writeWhole(out, `${answer.wrapped_b64}\n`, io, { isPrivate: false });
    if (keyOut !== undefined) await writeWhole(keyOut, Buffer.from(answer.plaintext_key_b64 ?? '', 'base64'), io, { isPrivate: true });
    // A key that went to a file is not repeated on the screen or in a log of the output.
    const { plaintext_key_b64: _, ...unplain } = answer;
    const shown = isOn(parsed, 'plaintext') ? answer : unplain;
    print(parsed, io, shown, () => wrappedText(shown, out, keyOut));
    return EXIT.ok;

    async function readKey(from: string): Promise<Buffer> {
      const key = await readSmall(from, io);
      if (key.length === 0 || key.length > PLAINTEXT_BYTES_MAX) throw new UsageError(`a data key is 1 to ${PLAINTEXT_BYTES_MAX} bytes`);
      return key;
    }
  },
};

function sizeFlag(parsed: Parsed, path: string | undefined): number | undefined {
  const text = flag(parsed, 'size');
  if ((text === undefined) === (path === undefined)) throw new UsageError('give one of --size, for a key made by the service, and --in, for one of your own');
  if (text === undefined) return undefined;
  const size = /^\d{2}$/.test(text) ? Number(text) : 0;
  if (size < 16 || size > 64) throw new UsageError('--size is 16 to 64 bytes');
  return size;
}

function wrappedText(answer: WrapAnswer, out: string | undefined, keyOut: string | undefined): string {
  return [
    `wrapped by ${answer.kid}`,
    `  wrapped    ${out === undefined ? answer.wrapped_b64 : `in ${out}`}`,
    ...(answer.plaintext_key_b64 === undefined ? [] : [`  key        ${answer.plaintext_key_b64}`]),
    ...(keyOut === undefined ? [] : [`  key        in ${keyOut}, mode 0600`]),
    `  log entry  ${answer.audit.index}`,
  ].join('\n');
}
