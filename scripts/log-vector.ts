/** The vector of docs/formats/log.md: a small log that changes its keys, with every hash, signature and receipt of it. */
import type { HeldKey, KeyPairDeps } from '../src/adapters/log-keys/key-pair.ts';
import type { AuditEvent, EntryDetail } from '../src/core/log/entry.ts';
import { formatCheckpoint } from '../client/src/log/checkpoint.ts';
import { cosignedMessage } from '../client/src/log/cosignature.ts';
import { leafHash } from '../client/src/log/hash.ts';
import { formatReceipt } from '../client/src/log/receipt.ts';
import { verifyCheckpointNote } from '../client/src/log/verify-note.ts';
import { formatVkey, vkeyOf } from '../client/src/log/vkey.ts';
import { announcementSignatures, logKeyKinds, signatureLines } from '../src/adapters/log-keys/key-pair.ts';
import { blake3Hex } from '../src/core/digest.ts';
import { encodeEntry } from '../src/core/log/entry.ts';
import { consistencyProof, inclusionProof } from '../src/core/log/proofs.ts';
import { encodeBundle, tilePath } from '../src/core/log/tiles.ts';
import { createTreeEdge } from '../src/core/log/tree-edge.ts';
import { formatRfc3339 } from '../src/core/time.ts';

interface LogKeyVector {
  readonly alg: string;
  readonly seed_hex: string;
  readonly vkey: string;
}

interface LogEntryVector {
  readonly json: string;
  readonly leaf_hash_hex: string;
  /** The root of the tree that ends with this entry. */
  readonly root_hash_hex: string;
}

interface CheckpointVector {
  readonly size: number;
  readonly timestamp_s: number;
  readonly signed_by: readonly ('first_keys' | 'next_keys')[];
  readonly cosigned_message_hex: string;
  readonly note: string;
}

export interface LogVector {
  readonly name: string;
  readonly origin: string;
  readonly first_keys: readonly LogKeyVector[];
  readonly next_keys: readonly LogKeyVector[];
  readonly entries: readonly LogEntryVector[];
  /** Of the last checkpoint's tree. */
  readonly tiles: readonly { readonly path: string; readonly hex: string }[];
  readonly checkpoints: readonly CheckpointVector[];
  readonly consistency: { readonly old_size: number; readonly new_size: number; readonly proof_hex: readonly string[] };
  readonly receipts: readonly { readonly index: number; readonly text: string }[];
}

/** What must not pass as a receipt under the first and the next keys. */
export interface RefusedReceipt {
  readonly name: string;
  readonly text: string;
}

const INSTANCE = '01932c07-2b4e-7c55-9a2f-0123456789ab';
const ORIGIN = `ron-kms/${INSTANCE}`;
const KID = 'core/audit/ed25519+ml-dsa/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b#v1';
const START_MS = Date.UTC(2026, 10, 23);
const BOOT_ID = '01932c07-3000-7000-8000-000000000000';

export interface LogVectorDeps extends Pick<KeyPairDeps, 'signatures'> {
  /** Bytes that are always the same under a name. */
  readonly seedOf: (name: string, lengthBytes: number) => Buffer;
}

/** The log as it is made now; what `frozen` has of hedged signatures is kept where it still holds. */
export async function makeLogVector({ signatures, seedOf }: LogVectorDeps, frozen: LogVector | undefined): Promise<LogVector> {
  const [first, next] = ['first', 'next'].map((name) => logKeyKinds.map((kind) => {
    const seed = seedOf(`log ${name} ${kind.alg}`, 32);
    const signer = signatures[kind.scheme].signerFromSeed(seed);
    const key: HeldKey = { kind, signer, vkey: vkeyOf(ORIGIN, kind.type, signer.publicBytes) };
    return { key, shown: { alg: kind.alg, seed_hex: seed.toString('hex'), vkey: formatVkey(key.vkey) } };
  })) as [SeededKey[], SeededKey[]];

  const entries = await entriesOf(first, next, { seedOf, frozen });
  const edge = createTreeEdge();
  const trees = [edge.snapshot(), ...entries.map((entry) => {
    edge.append(leafHash(entry));
    return edge.snapshot();
  })];
  const treeOf = (size: number) => trees[size] ?? edge;
  const checkpoints = await Promise.all([
    checkpointOf(4, ['first_keys'], first), checkpointOf(6, ['first_keys', 'next_keys'], [...first, ...next]), checkpointOf(7, ['next_keys'], next),
  ]);
  const tilesOf = async (level: number): Promise<Buffer> => edge.partialTiles()[level]?.bytes ?? Buffer.alloc(0);

  async function checkpointOf(size: number, signedBy: CheckpointVector['signed_by'], keys: readonly SeededKey[]): Promise<CheckpointVector> {
    const checkpoint = { origin: ORIGIN, size, rootHash: treeOf(size).rootHash() };
    const nowMs = START_MS + size * 1000;
    const timestampS = nowMs / 1000;
    const held = keys.map(({ key }) => key);
    const before = frozen?.checkpoints.find((one) => one.size === size)?.note;
    const note = before !== undefined && isNoteOf(before, checkpoint, held)
      ? before : `${formatCheckpoint(checkpoint)}\n${await signatureLines(held, checkpoint, nowMs)}`;
    const message = cosignedMessage({ cosignerName: ORIGIN, timestampS, origin: ORIGIN, start: 0, end: size, hash: checkpoint.rootHash });
    return { size, timestamp_s: timestampS, signed_by: signedBy, cosigned_message_hex: message.toString('hex'), note };
  }

  return {
    name: 'a log that changes its keys',
    origin: ORIGIN,
    first_keys: first.map(({ shown }) => shown),
    next_keys: next.map(({ shown }) => shown),
    entries: entries.map((entry, i) => ({ json: entry.toString('utf8'), leaf_hash_hex: leafHash(entry).toString('hex'), root_hash_hex: treeOf(i + 1).rootHash().toString('hex') })),
    tiles: [
      ...edge.partialTiles().map(({ level, index, width, bytes }) => ({ path: tilePath(level, index, width), hex: bytes.toString('hex') })),
      { path: tilePath('entries', 0, entries.length), hex: encodeBundle(entries).toString('hex') },
    ],
    checkpoints,
    consistency: { old_size: 4, new_size: 7, proof_hex: (await consistencyProof(4, 7, tilesOf)).map((hash) => hash.toString('hex')) },
    receipts: await Promise.all([3, 6].map(async (index) => ({
      index, text: formatReceipt({ entry: entries[index] ?? Buffer.alloc(0), index, proof: await inclusionProof(index, 7, tilesOf), note: checkpoints.at(-1)?.note ?? '' }),
    }))),
  };
}

/** Damage to the first receipt of the vector. */
export function refusedReceipts({ receipts, checkpoints }: LogVector): readonly RefusedReceipt[] {
  const text = receipts[0]?.text ?? '';
  const [head = ''] = text.split('\n\n');
  const [first = '', extra = '', index = '', ...proof] = head.split('\n');
  const note = text.slice(head.length + 2);
  const lines = note.split('\n');
  const write = (parts: { readonly extra?: string; readonly index?: string; readonly proof?: readonly string[]; readonly note?: string }): string =>
    [first, parts.extra ?? extra, parts.index ?? index, ...(parts.proof ?? proof), '', parts.note ?? note].join('\n');
  const entry = Buffer.from(extra.slice('extra '.length), 'base64').toString('utf8');
  return [
    { name: 'another entry', text: write({ extra: `extra ${Buffer.from(entry.replace('"op":"sign"', '"op":"wrap"')).toString('base64')}` }) },
    { name: 'another index', text: write({ index: 'index 2' }) },
    { name: 'an index beyond the tree', text: write({ index: 'index 7' }) },
    { name: 'an index with a leading zero', text: write({ index: 'index 03' }) },
    { name: 'no entry', text: [first, index, ...proof, '', note].join('\n') },
    { name: 'a proof without its last hash', text: write({ proof: proof.slice(0, -1) }) },
    { name: 'a proof with a hash too many', text: write({ proof: [...proof, proof[0] ?? ''] }) },
    { name: 'the proof the other way round', text: write({ proof: proof.toReversed() }) },
    { name: 'the checkpoint of a smaller tree', text: write({ note: checkpoints[0]?.note ?? '' }) },
    { name: 'another size in the checkpoint', text: write({ note: note.replace('\n7\n', '\n8\n') }) },
    { name: 'an extension line in the checkpoint', text: write({ note: note.replace('\n\n', '\nmore\n\n') }) },
    { name: 'no ML-DSA-44 signature', text: write({ note: lines.toSpliced(5, 1).join('\n') }) },
    { name: 'no Ed25519 signature', text: write({ note: lines.toSpliced(4, 1).join('\n') }) },
    { name: 'another time in the ML-DSA-44 signature', text: write({ note: withTime(lines).join('\n') }) },
    { name: 'version 2 of the format', text: text.replace('@v1', '@v2') },
  ];
}

interface SeededKey {
  readonly key: HeldKey;
  readonly shown: LogKeyVector;
}

async function entriesOf(first: readonly SeededKey[], next: readonly SeededKey[], { seedOf, frozen }: Pick<LogVectorDeps, 'seedOf'> & { readonly frozen: LogVector | undefined }): Promise<Buffer[]> {
  const nextVkeys = next.map(({ shown }) => shown.vkey);
  const signed = announcedIn(frozen, nextVkeys) ?? await announcementSignatures(first.map(({ key }) => key), ORIGIN, nextVkeys);
  const events: readonly AuditEvent[] = [
    own('log-keys', { log_keys: { keys: first.map(({ shown }) => shown.vkey), reason: 'start' } }),
    ofKey({ op: 'create', op_id: 'create-1', result: 'intent' }),
    { ...ofKey({ op: 'create', op_id: 'create-1', result: 'ok' }), generation: 1 },
    { ...ofKey({ op: 'sign', op_id: 'sign-1', result: 'ok' }), policy: { mode: 'and', decision_id: 'decision-1' }, attestation: { class: 'software', evidence_sha256: 'e3'.repeat(32) } },
    own('log-keys', { log_keys: { keys: nextVkeys, reason: 'scheduled', until: formatRfc3339(START_MS + 6500), signatures: signed } }),
    { ...own('refusals', { refusals: { code: 'NoCapability', count: 17, since: formatRfc3339(START_MS + 5000), until: formatRfc3339(START_MS + 6000) } }), result: 'NoCapability', reason: 'the token was revoked' },
    ofKey({ op: 'verify', op_id: 'verify-1', result: 'invalid' }),
  ];
  let keySeq = 0;
  return events.map((event, i) => Buffer.from(encodeEntry(event, {
    salt: seedOf(`log salt ${i}`, 16).toString('hex'), boot_id: BOOT_ID, ts: formatRfc3339(START_MS + i * 1000), mono_ns: String(1_000_000_000n * BigInt(i + 1)),
    key_seq: event.kid === undefined ? undefined : ++keySeq,
  })));
}

const client = { client_id: 'client-1', root_key_id: 'root-1', token_id: 'token-1', via: 'tcp', peer: '127.0.0.1' } as const;
const blank: AuditEvent = {
  op: 'log-keys', op_id: '', corr_id: '01932c07-3000-7000-8000-000000000001', tenant: undefined, kid: undefined, alg: undefined, purpose: undefined,
  input_hash: blake3Hex('the deed of the house on the hill'), result: 'ok', reason: undefined, actor: { via: 'service' }, policy: undefined, generation: undefined,
};

function own(op: AuditEvent['op'], detail: EntryDetail): AuditEvent {
  return { ...blank, op, op_id: `own-${op}`, detail };
}

function ofKey(event: Pick<AuditEvent, 'op' | 'op_id' | 'result'>): AuditEvent {
  return { ...blank, ...event, tenant: 'core', purpose: 'audit', alg: 'ed25519+ml-dsa', kid: KID, actor: client };
}

/** The signatures of the change of keys as they stand in the file; undefined when they announce others. */
function announcedIn(frozen: LogVector | undefined, vkeys: readonly string[]): NonNullable<EntryDetail['log_keys']>['signatures'] {
  const { log_keys: logKeys } = JSON.parse(frozen?.entries[4]?.json ?? '{}') as EntryDetail;
  return logKeys?.keys.join(' ') === vkeys.join(' ') ? logKeys.signatures : undefined;
}

function isNoteOf(note: string, { size, rootHash }: { readonly size: number; readonly rootHash: Buffer }, keys: readonly HeldKey[]): boolean {
  const verified = verifyCheckpointNote(note, keys.map(({ vkey }) => vkey));
  return !('fault' in verified) && verified.signedBy.length === keys.length && verified.checkpoint.size === size && verified.checkpoint.rootHash.equals(rootHash);
}

/** The checkpoint's lines with one second more in the cosignature. */
function withTime(lines: readonly string[]): readonly string[] {
  return lines.map((line, i) => {
    if (i !== 5) return line;
    const [dash, name, encoded = ''] = line.split(' ');
    const bytes = Buffer.from(encoded, 'base64');
    bytes.writeUInt8(bytes.readUInt8(11) ^ 1, 11);
    return `${dash} ${name} ${bytes.toString('base64')}`;
  });
}
