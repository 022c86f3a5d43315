import type { KeyObject } from 'node:crypto';
import type { VerifierKey } from '../../client/src/log/vkey.ts';
import type { AuditEvent, AuditStamp, EntryDetail } from '../../src/core/log/entry.ts';
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { formatCheckpoint } from '../../client/src/log/checkpoint.ts';
import { cosignedMessage, encodeTimestamped } from '../../client/src/log/cosignature.ts';
import { leafHash } from '../../client/src/log/hash.ts';
import { formatSignature } from '../../client/src/log/note.ts';
import { formatVkey, SIGNATURE_TYPE, vkeyOf } from '../../client/src/log/vkey.ts';
import { blake3Hex } from '../../src/core/digest.ts';
import { encodeEntry } from '../../src/core/log/entry.ts';
import { encodeBundle, TILE_WIDTH, tilePath } from '../../src/core/log/tiles.ts';
import { createTreeEdge } from '../../src/core/log/tree-edge.ts';

export interface MadeLogOptions {
  /** How many keys its entries are about; 3 when left out. */
  readonly keys?: number;
  readonly seed?: number;
  readonly instanceId?: string;
}

/** A log as a service would have left it, made by hand: every entry counts a millisecond on. */
export interface MadeLog {
  readonly directory: string;
  readonly origin: string;
  /** What `init` would have printed. */
  readonly vkeys: readonly VerifierKey[];
  /** The keys that sign now. */
  newestKeys(): readonly VerifierKey[];
  size(): number;
  /** Operations: signatures, and every 50th time a mutation of two entries. */
  append(count: number): void;
  /** An entry as it is given, over the usual one. */
  add(event: Partial<AuditEvent>, stamp?: Partial<AuditStamp>): void;
  /** Bytes that need not be an entry. */
  addRaw(entry: string): void;
  /** Another process goes on. */
  restart(): void;
  anchor(value: number): void;
  rotate(reason: 'scheduled' | 'compromised', change?: { readonly isUnsigned?: boolean }): void;
  /** Writes tiles and a note over all there is, and gives the note. */
  checkpoint(by?: 'all' | 'newest' | 'oldest'): string;
  /** Writes what is behind the checkpoint as a journal; from this entry on, where it is given. */
  journal(from?: number): void;
}

interface Pair {
  readonly vkey: VerifierKey;
  readonly privateKey: KeyObject;
}

const START_MS = Date.parse('2026-11-23T10:00:00.000Z');
const INSTANCE = '01890000-0000-7000-8000-00000000aaaa';

export function makeLog(directory: string, { keys = 3, seed = 1, instanceId = INSTANCE }: MadeLogOptions = {}): MadeLog {
  const origin = `ron-kms/${instanceId}`;
  const random = seeded(seed);
  const sets: Pair[][] = [makePairs(origin)];
  const kids = Array.from({ length: keys }, () => `core/audit/ed25519/${uuid(random)}#v1`);
  const seqs = new Map<string, number>();
  const edge = createTreeEdge();
  /** The newest entries, and from where on they are in no full bundle yet. */
  let kept: Buffer[] = [];
  let keptFrom = 0;
  let unwrittenFrom = 0;
  let covered: { note: string; size: number } | undefined;
  let bootId = uuid(random);
  let generation = 0;

  const newest = (): Pair[] => sets.at(-1) as Pair[];
  const write = (path: string, bytes: string | Uint8Array): void => {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), bytes);
  };

  const addRaw = (entry: string): void => {
    const bytes = Buffer.from(entry);
    edge.append(leafHash(bytes));
    kept.push(bytes);
    // A log of a million entries should not stay in memory.
    if (edge.size() % (4 * TILE_WIDTH) === 0) writeBundles();
  };

  const slice = (from: number, to = edge.size()): Buffer[] => kept.slice(from - keptFrom, to - keptFrom);

  const writeBundles = (): void => {
    for (const { level, index, bytes } of edge.takeFullTiles()) write(tilePath(level, index), bytes);
    for (; unwrittenFrom + TILE_WIDTH <= edge.size(); unwrittenFrom += TILE_WIDTH) {
      write(tilePath('entries', unwrittenFrom / TILE_WIDTH), encodeBundle(slice(unwrittenFrom, unwrittenFrom + TILE_WIDTH)));
    }
    const keptNext = Math.max(0, unwrittenFrom - 2 * TILE_WIDTH);
    kept = slice(keptNext);
    keptFrom = keptNext;
  };

  const add: MadeLog['add'] = (event, stamp = {}) => {
    const { kid } = event;
    const base = kid?.slice(0, kid.lastIndexOf('#'));
    const nextSeq = base === undefined ? undefined : (seqs.get(base) ?? 0) + 1;
    if (base !== undefined) seqs.set(base, stamp.key_seq ?? nextSeq ?? 0);
    const at = edge.size();
    addRaw(encodeEntry({
      op: 'sign', op_id: uuid(random), corr_id: uuid(random), tenant: undefined, kid: undefined, alg: undefined, purpose: undefined,
      input_hash: hex(random, 64), result: 'ok', reason: undefined, actor: { via: 'service' }, policy: undefined, generation: undefined, ...event,
    }, { salt: hex(random, 32), boot_id: bootId, ts: new Date(START_MS + at).toISOString(), mono_ns: String(1_000_000_000 + at), key_seq: nextSeq, ...stamp }));
  };

  const client = { client_id: 'ci', peer: '127.0.0.1', root_key_id: 'test', token_id: 't1', via: 'tcp' } as const;
  const operation = (): void => {
    const kid = kids[Math.floor(random() * kids.length)] ?? '';
    const key = { tenant: 'core', purpose: 'audit', alg: 'ed25519', kid, actor: client } as const;
    if (edge.size() % 50 !== 0) return add({ ...key, policy: { mode: 'and', decision_id: undefined } });
    const mutation = { ...key, op: 'patch', op_id: uuid(random) } as const;
    add({ ...mutation, result: 'intent' });
    add({ ...mutation, generation: ++generation });
  };

  const announce = (detail: NonNullable<EntryDetail['log_keys']>): void => add({ op: 'log-keys', detail: { log_keys: detail } });

  write('identity.json', `${JSON.stringify({ v: 1, instance_id: instanceId, origin, created_at: new Date(START_MS).toISOString() })}\n`);
  announce({ keys: newest().map(({ vkey }) => formatVkey(vkey)), reason: 'start' });

  return {
    directory, origin, add, addRaw,
    vkeys: newest().map(({ vkey }) => vkey),
    newestKeys: () => newest().map(({ vkey }) => vkey),
    size: edge.size,
    append(count) {
      for (const end = edge.size() + count; edge.size() < end;) operation();
    },
    restart() {
      bootId = uuid(random);
      add({ op: 'checkpoint-start', detail: { checkpoint: { size: edge.size(), root_hash: edge.rootHash().toString('base64') } } });
    },
    anchor(value) {
      add({ op: 'anchor', detail: { anchor: { value, tree_size: edge.size(), root_hash: edge.rootHash().toString('base64') } } });
    },
    rotate(reason, { isUnsigned = false } = {}) {
      const next = makePairs(origin);
      const vkeys = next.map(({ vkey }) => formatVkey(vkey));
      const message = Buffer.from(['ron-kms/log-keys/v1', origin, ...vkeys, ''].join('\n'));
      const signatures = newest().map(({ vkey, privateKey }) => ({ key_id: vkey.keyId.toString('hex'), signature_b64: sign(undefined, isUnsigned ? Buffer.alloc(1) : message, privateKey).toString('base64') }));
      announce({ keys: vkeys, reason, signatures, ...(reason === 'scheduled' && { until: new Date(START_MS + 30 * 86_400_000).toISOString() }) });
      sets.push(next);
    },
    checkpoint(by = 'all') {
      writeBundles();
      const size = edge.size();
      if (covered !== undefined) for (let level = 0; level < 4; level++) removePartials(directory, level, covered.size);
      for (const { level, index, width, bytes } of edge.partialTiles()) write(tilePath(level, index, width), bytes);
      if (size > unwrittenFrom) write(tilePath('entries', unwrittenFrom / TILE_WIDTH, size - unwrittenFrom), encodeBundle(slice(unwrittenFrom)));
      const signers = { all: sets.flat(), newest: newest(), oldest: sets[0] ?? [] }[by];
      const note = signNote({ origin, size, rootHash: edge.rootHash() }, signers, START_MS + size);
      write('checkpoint', note);
      covered = { note, size };
      return note;
    },
    journal(from = covered?.size ?? 0) {
      const half = Math.ceil((edge.size() + from) / 2);
      const frames = [[from, half], [half, edge.size()]].filter(([start = 0, end = 0]) => start < end);
      write(`journal/${String(from).padStart(16, '0')}`, Buffer.concat(frames.map(([start = 0, end = 0]) => frameOf(start, slice(start, end)))));
    },
  };
}

function makePairs(origin: string): Pair[] {
  const kinds = [['ed25519', SIGNATURE_TYPE.ed25519], ['ml-dsa-44', SIGNATURE_TYPE.mlDsa44Cosignature]] as const;
  return kinds.map(([name, type]) => {
    const { privateKey, publicKey } = name === 'ed25519' ? generateKeyPairSync(name) : generateKeyPairSync(name);
    return { privateKey, vkey: vkeyOf(origin, type, publicKey.export({ format: 'raw-public' })) };
  });
}

function signNote(checkpoint: { readonly origin: string; readonly size: number; readonly rootHash: Buffer }, pairs: readonly Pair[], nowMs: number): string {
  const text = formatCheckpoint(checkpoint);
  const timestampS = Math.floor(nowMs / 1000);
  const lines = pairs.map(({ vkey: { name, keyId, type }, privateKey }) => {
    const message = cosignedMessage({ cosignerName: name, timestampS, origin: checkpoint.origin, start: 0, end: checkpoint.size, hash: checkpoint.rootHash });
    const signature = type === SIGNATURE_TYPE.ed25519 ? sign(undefined, Buffer.from(text), privateKey) : encodeTimestamped({ timestampS, signature: sign(undefined, message, privateKey) });
    return formatSignature({ name, keyId, signature });
  });
  return `${text}\n${lines.join('')}`;
}

/** Partial tiles of an older checkpoint, which a log drops once it has a newer one. */
function removePartials(directory: string, level: number, size: number): void {
  const index = Math.floor(Math.floor(size / TILE_WIDTH ** level) / TILE_WIDTH);
  rmSync(join(directory, `${tilePath(level, index)}.p`), { recursive: true, force: true });
  if (level === 0) rmSync(join(directory, `${tilePath('entries', index)}.p`), { recursive: true, force: true });
}

/** docs/formats/log.md: a frame of the journal. */
function frameOf(firstIndex: number, entries: readonly Buffer[]): Buffer {
  const payload = encodeBundle(entries);
  const header = Buffer.alloc(20);
  header.write('RKJ1', 'latin1');
  header.writeBigUInt64BE(BigInt(firstIndex), 4);
  header.writeUInt32BE(entries.length, 12);
  header.writeUInt32BE(payload.length, 16);
  return Buffer.concat([header, Buffer.from(blake3Hex(Buffer.concat([header, payload])).slice(0, 32), 'hex'), payload]);
}

/** Mulberry32: small, and the same everywhere. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function hex(random: () => number, digits: number): string {
  let text = '';
  while (text.length < digits) text += Math.floor(random() * 2 ** 32).toString(16).padStart(8, '0');
  return text.slice(0, digits);
}

function uuid(random: () => number): string {
  const digits = hex(random, 32);
  return [digits.slice(0, 8), digits.slice(8, 12), `7${digits.slice(13, 16)}`, `8${digits.slice(17, 20)}`, digits.slice(20)].join('-');
}
