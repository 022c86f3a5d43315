import type { CheckedEvidence, EvidencePins } from '../../client/src/log/evidence.ts';
import type { Command, Io, Parsed } from './command.ts';
import { checkEvidence } from '../../client/src/log/evidence.ts';
import { parseDuration } from '../core/time.ts';
import { print } from './answer.ts';
import { UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { nameOf, readSmall } from './files.ts';
import { flag, flagList, kidOf } from './flags.ts';
import { printable } from './printable.ts';

const HEX_DIGEST = /^[0-9a-f]{64}$/;
const KEY = /^(p256|ed25519):[A-Za-z0-9+/]+={0,2}$/;

/** `ron-kms attest verify`: nothing but the file and what was pinned has a part in it. */
export const attestCommands: readonly Command[] = [{
  name: 'attest verify',
  args: '<file|->',
  summary: 'Say whether evidence shows where a key is held, from a pinned attestation key alone',
  example: 'attest verify signed.json --key p256:BD3V… --nonce 85052e9aab1b67b6622d94a08441b09fd5b7aca61ee360416d70de5da67d86ca',
  options: {
    key: { type: 'string', multiple: true }, keys: { type: 'string' }, nonce: { type: 'string' }, kid: { type: 'string' }, 'public-sha256': { type: 'string' },
    class: { type: 'string', multiple: true }, 'pcr-digest': { type: 'string' }, 'max-age': { type: 'string' }, json: { type: 'boolean' },
  },
  about: {
    key: 'an attestation key that is trusted, as init printed it; may stand more than once',
    keys: 'a file with it: what init --json printed',
    nonce: 'what the evidence has to carry, in hex: of a sign with attest, its payload_b3',
    kid: 'the kid with its version that it has to be about',
    'public-sha256': 'SHA-256 of the public parts that it has to be about, one after the other, in hex',
    class: 'how the key has to be held: pkcs11, pkcs11-wrapped, tpm-sealed; may stand more than once',
    'pcr-digest': 'SHA-256 over the values of the PCRs as they have to be, in hex',
    'max-age': 'how old it may be, such as 5m',
    json: 'print it as JSON',
  },
  async run(parsed, io) {
    const pins = await pinsOf(parsed, io);
    const path = parsed.args[0] ?? '-';
    const checked = checkEvidence(evidenceIn((await readSmall(path, io)).toString('utf8')), pins);
    tell(parsed, io, nameOf(path), checked);
    return checked.ok ? EXIT.ok : EXIT.invalid;
  },
}];

async function pinsOf(parsed: Parsed, io: Io): Promise<EvidencePins> {
  const path = flag(parsed, 'keys');
  const keys = [...flagList(parsed, 'key'), ...(path === undefined ? [] : keysIn((await readSmall(path, io)).toString('utf8')))];
  if (keys.length === 0) throw new UsageError('no attestation key is pinned: give --key as ron-kms init printed it, or --keys with what init --json printed; the service cannot vouch for itself');
  const wrong = keys.find((key) => !KEY.test(key));
  if (wrong !== undefined) throw new UsageError(`${printable(wrong.slice(0, 60))} is no attestation key: p256:<base64> or ed25519:<base64>`);
  const maxAge = flag(parsed, 'max-age');
  const maxAgeMs = maxAge === undefined ? undefined : parseDuration(maxAge);
  if (maxAge !== undefined && maxAgeMs === undefined) throw new UsageError('--max-age is a duration such as 30s or 5m');
  const nonce = digestFlag(parsed, 'nonce');
  const kid = flag(parsed, 'kid');
  const classes = flagList(parsed, 'class');
  const [publicSha256, pcrDigest] = [digestFlag(parsed, 'public-sha256'), digestFlag(parsed, 'pcr-digest')];
  return {
    keys,
    ...(nonce !== undefined && { nonce: Buffer.from(nonce, 'hex') }),
    ...(kid !== undefined && { kid: kidOf(kid, '--kid') }),
    ...(publicSha256 !== undefined && { publicSha256 }),
    ...(pcrDigest !== undefined && { pcrDigest }),
    ...(classes.length > 0 && { classes }),
    ...(maxAgeMs !== undefined && { notBefore: new Date(Date.now() - maxAgeMs).toISOString() }),
  };
}

function digestFlag(parsed: Parsed, name: string): string | undefined {
  const value = flag(parsed, name)?.toLowerCase();
  if (value !== undefined && !HEX_DIGEST.test(value)) throw new UsageError(`--${name} is 32 bytes in hex: 64 digits`);
  return value;
}

/** What `init --json` printed, or one on each line. */
function keysIn(text: string): readonly string[] {
  if (!text.trimStart().startsWith('{')) return text.split('\n').map((line) => line.trim()).filter((line) => line !== '');
  try {
    const { attestation_key: key } = JSON.parse(text) as { readonly attestation_key?: unknown };
    return typeof key === 'string' ? [key] : [];
  } catch {
    return [];
  }
}

/** An answer of sign, a part of one, or the evidence itself, in base64 or as it is. */
function evidenceIn(text: string): Buffer {
  const trimmed = text.trim();
  if (!trimmed.startsWith('{')) return Buffer.from(trimmed, 'base64');
  try {
    const { attestation, evidence, evidence_b64: shown } = JSON.parse(trimmed) as { readonly attestation?: { readonly evidence?: unknown }; readonly evidence?: unknown; readonly evidence_b64?: unknown };
    const found = [attestation?.evidence, evidence, shown].find((one) => typeof one === 'string');
    return found === undefined ? Buffer.from(trimmed) : Buffer.from(found, 'base64');
  } catch {
    return Buffer.from(trimmed);
  }
}

function tell(parsed: Parsed, io: Io, name: string, { ok, problems, statement, tpm }: CheckedEvidence): void {
  const answer = { ok, problems, ...(statement && { statement }), ...(tpm && { tpm: { pcr_digest: tpm.pcrDigest, clock_ms: Number(tpm.clockMs), reset_count: tpm.resetCount, restart_count: tpm.restartCount, firmware: tpm.firmware } }) };
  print(parsed, io, answer, () => {
    if (statement === undefined) return `${name} proves nothing: ${problems.join('; ')}`;
    const { subject, device } = statement;
    const about = 'kid' in subject ? subject.kid : `the keys of the log ${statement.origin}`;
    return [
      ok ? `${name} is good: ${printable(about)}, held as ${printable(statement.class)}` : `${name} proves nothing: ${problems.map((problem) => printable(problem)).join('; ')}`,
      `  about      ${printable(about)}`,
      `  made       ${printable(statement.made_at)}`,
      `  log        ${printable(statement.origin)}, ${statement.tree_size} entries${statement.generation === undefined ? '' : `, generation ${statement.generation}`}`,
      device.kind === 'tpm' ? `  TPM        PCR ${device.pcrs.join(', ')}, digest ${tpm?.pcrDigest ?? 'unknown'}` : `  token      ${printable(Object.values(device.token).join(', '))}`,
    ].join('\n');
  });
}
