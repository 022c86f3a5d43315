import type { SignatureItem, VerifyAnswer } from '../../client/src/wire.ts';
import type { Command, Io, Parsed } from './command.ts';
import { verifyModes } from '../core/bundle/modes.ts';
import { print } from './answer.ts';
import { UsageError } from './command.ts';
import { connect, connectionAbout, connectionOptions } from './connection.ts';
import { EXIT } from './exit-codes.ts';
import { nameOf, readSmall } from './files.ts';
import { base64Flag, flagList, given, kidOf, neededFlag, oneOf } from './flags.ts';
import { inputAbout, inputOption, readPayload, withPayload } from './payload.ts';

/** `ron-kms verify`: its exit code is the answer. */
export const verifyCommand: Command = {
  name: 'verify',
  args: '<file|->',
  summary: `Verify a file against a signature bundle; exit code ${EXIT.invalid} when it does not hold`,
  example: 'verify release.tar --signature release.sig.json',
  options: {
    signature: { type: 'string' }, kid: { type: 'string', multiple: true }, mode: { type: 'string' }, ...inputOption, 'context-b64': { type: 'string' }, ...connectionOptions,
  },
  about: {
    signature: 'the bundle that sign wrote', kid: 'the key that must have signed, or one of several; left out, the one that the bundle names',
    mode: `${verifyModes.join(', ')}: stricter than the tenant's, never looser`, ...inputAbout, 'context-b64': 'the context that it was signed with', ...connectionAbout,
  },
  async run(parsed, io) {
    const path = parsed.args[0] ?? '-';
    const signaturePath = neededFlag(parsed, 'signature', 'the bundle that sign wrote');
    if (path === '-' && signaturePath === '-') throw new UsageError('only one of the file and the bundle can be standard input');
    const mode = oneOf(parsed, 'mode', verifyModes);
    const context = given({ context_b64: base64Flag(parsed, 'context-b64') });
    const { kid: signer, sigs } = await readBundle(signaturePath, io);
    const client = await connect(parsed, io);
    const payload = await readPayload(path, io);
    const body = { ...keysOf(parsed, signer), sigs, ...context, ...given({ policy: mode && { mode } }) };
    const answer = await withPayload(parsed, io, payload, (fields) => client.verify({ ...body, ...fields }));
    print(parsed, io, answer, () => verdict(answer, path));
    return answer.ok ? EXIT.ok : EXIT.invalid;
  },
};

/** Only the signer and the signatures are taken from the bundle: the digest is always that of the file. */
async function readBundle(path: string, io: Io): Promise<{ readonly kid: string; readonly sigs: SignatureItem[] }> {
  const text = (await readSmall(path, io)).toString('utf8');
  let bundle: unknown;
  try {
    bundle = JSON.parse(text);
  } catch {
    // Said below.
  }
  if (!isBundle(bundle)) throw new UsageError(`${nameOf(path)} is not a signature bundle: it is the JSON that ron-kms sign --out writes`);
  const sigs = bundle.sigs.map(({ alg, parameter_set: set, signature_b64: signature }) => ({ alg, signature_b64: signature, ...(set !== undefined && { parameter_set: set }) }));
  return { kid: bundle.kid, sigs };
}

function isBundle(value: unknown): value is { kid: string; sigs: SignatureItem[] } {
  return typeof value === 'object' && value !== null && 'kid' in value && typeof value.kid === 'string' && 'sigs' in value && Array.isArray(value.sigs)
    && value.sigs.every((item: unknown) => typeof item === 'object' && item !== null && 'alg' in item && 'signature_b64' in item);
}

function keysOf(parsed: Parsed, signer: string): { kid: string } | { kid_set: string[] } {
  const kids = flagList(parsed, 'kid').map((text) => kidOf(text, '--kid'));
  if (kids.length > 1) return { kid_set: kids };
  return { kid: kids[0] ?? kidOf(signer, 'kid in the bundle') };
}

function verdict({ ok, details }: VerifyAnswer, path: string): string {
  const checked = details.checked.map((item) => `  ${item.ok ? 'valid' : 'wrong'}      ${item.alg} by ${item.kid}`);
  const lead = ok ? `${nameOf(path)} is what was signed` : `${nameOf(path)} is NOT what was signed, or not by this key`;
  return [lead, ...checked, `  mode       ${details.mode}`, ...(details.degraded === true ? ['  the service is degraded: ron-kms doctor'] : [])].join('\n');
}
