import type { SignAnswer } from '../../client/src/wire.ts';
import type { Command } from './command.ts';
import { print } from './answer.ts';
import { connect, connectionAbout, connectionOptions } from './connection.ts';
import { EXIT } from './exit-codes.ts';
import { writeWhole } from './files.ts';
import { base64Flag, flag, given, isOn, kidOf } from './flags.ts';
import { inputAbout, inputOption, readPayload, withPayload } from './payload.ts';

/** `ron-kms sign`: hashes here, so that a file of any size is a small call. */
export const signCommand: Command = {
  name: 'sign',
  args: '<file|->',
  summary: 'Sign a file',
  example: 'sign release.tar --kid core/release/ed25519+ml-dsa/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b --out release.sig.json',
  options: {
    kid: { type: 'string' }, out: { type: 'string' }, ...inputOption, 'context-b64': { type: 'string' }, hybrid: { type: 'boolean' }, attest: { type: 'boolean' },
    'op-id': { type: 'string' }, ...connectionOptions,
  },
  about: {
    kid: 'the key; without #vN its current version', out: 'write the signature bundle there; left out, it is printed', ...inputAbout,
    'context-b64': 'a context of up to 255 bytes, for ml-dsa and the composite', hybrid: 'both signatures, whatever the rollout says',
    attest: 'with evidence of where the key lives', 'op-id': 'a name for the entry in the log', ...connectionAbout,
  },
  async run(parsed, io) {
    const kid = kidOf(flag(parsed, 'kid'), '--kid');
    const out = flag(parsed, 'out');
    const more = given({
      context_b64: base64Flag(parsed, 'context-b64'), op_id: flag(parsed, 'op-id'),
      policy: isOn(parsed, 'hybrid') ? { produce_hybrid: true } : undefined, attest: isOn(parsed, 'attest') ? true : undefined,
    });
    const client = await connect(parsed, io);
    const payload = await readPayload(parsed.args[0] ?? '-', io);
    const bundle = await withPayload(parsed, io, payload, (fields) => client.sign({ kid, ...fields, ...more }));

    if (out !== undefined) await writeWhole(out, `${JSON.stringify(bundle, null, 2)}\n`, io, { isPrivate: false });
    if (out === undefined && !isOn(parsed, 'json')) {
      // Without a file to go to, the bundle itself is the output, and what it says is for the eye.
      io.err(`${signedText(bundle)}\n`);
      io.out(`${JSON.stringify(bundle, null, 2)}\n`);
    } else {
      print(parsed, io, bundle, () => `${signedText(bundle)}\n  bundle     ${out}`);
    }
    return EXIT.ok;
  },
};

function signedText({ kid, sigs, payload_b3: digest, audit }: SignAnswer): string {
  const made = sigs.map(({ alg, parameter_set: set }) => set ?? alg).join(' and ');
  return [`signed by ${kid}`, `  with       ${made}`, `  BLAKE3     ${digest}`, `  log entry  ${audit.index}`].join('\n');
}
