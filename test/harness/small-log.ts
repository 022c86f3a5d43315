import type { KeyObject } from 'node:crypto';
import type { VerifierKey } from '../../client/src/log/vkey.ts';
import type { AuditEvent } from '../../src/core/log/entry.ts';
import type { AnchorProof } from '../../src/ports/anchor.ts';
import type { AnchoredLog } from '../../src/service/anchoring.ts';
import { createHash, createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { SIGNATURE_TYPE, vkeyOf } from '../../client/src/log/vkey.ts';

/** A log as anchoring needs it, on a real disk, with the tree written down straight from RFC 6962 §2.1. */
export interface SmallLog extends AnchoredLog {
  readonly origin: string;
  readonly key: VerifierKey;
  mac(bytes: Buffer): Buffer;
  /** The entries, canonical or not: JSON. */
  entries(): readonly string[];
}

const hash = (...parts: readonly Uint8Array[]): Buffer => parts.reduce((sum, part) => sum.update(part), createHash('sha256')).digest();
const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

/** Opens the log below a directory, or begins one there. Each opening leaves an entry, as a start of the service does. */
export function openSmallLog(directory: string, origin: string): SmallLog {
  mkdirSync(directory, { recursive: true });
  const [entriesPath, checkpointPath] = ['entries', 'checkpoint'].map((name) => join(directory, name)) as [string, string];
  const privateKey = privateKeyIn(join(directory, 'key'));
  const publicKey = createPublicKey(privateKey).export({ format: 'raw-public' });
  const key = vkeyOf(origin, SIGNATURE_TYPE.ed25519, publicKey);
  const entries = existsSync(entriesPath) ? readFileSync(entriesPath, 'utf8').split('\n').slice(0, -1) : [];
  const leaves = entries.map(leafOf);

  const proofAt = (size: number): AnchorProof => {
    const covered = leaves.slice(0, size);
    const rootHash = treeHash(covered);
    const body = `${origin}\n${size}\n${rootHash.toString('base64')}\n`;
    const blob = Buffer.concat([key.keyId, sign(null, Buffer.from(body), privateKey)]).toString('base64');
    return {
      origin, treeSize: size, rootHash, note: `${body}\n— ${origin} ${blob}\n`,
      consistencyFrom: async (oldSize) => (oldSize === 0 || oldSize === size ? [] : consistency(oldSize, covered, true)),
    };
  };

  let flushed = entries.length;
  const flush = (): void => {
    const file = openSync(entriesPath, 'a', 0o600);
    writeSync(file, entries.slice(flushed).map((text) => `${text}\n`).join(''));
    fsyncSync(file);
    closeSync(file);
    flushed = entries.length;
  };
  const take = (texts: readonly string[]): void => {
    entries.push(...texts);
    leaves.push(...texts.map(leafOf));
  };
  const checkpoint = (): void => {
    flush();
    writeFileSync(`${checkpointPath}.new`, proofAt(entries.length).note, { flush: true });
    renameSync(`${checkpointPath}.new`, checkpointPath);
  };
  const headProof = (): AnchorProof => {
    const note = readFileSync(checkpointPath, 'utf8');
    return { ...proofAt(Number(note.split('\n')[1])), note };
  };

  take([JSON.stringify({ op: entries.length === 0 ? 'log-keys' : 'checkpoint-start', salt: randomBytes(16).toString('hex') })]);
  checkpoint();
  return {
    origin, key,
    entries: () => entries,
    mac: (bytes) => createHmac('sha256', privateKey.export({ format: 'der', type: 'pkcs8' })).update(bytes).digest(),
    append: async (events: readonly AuditEvent[], options) => {
      const firstIndex = entries.length;
      take(events.map(({ detail, ...event }) => JSON.stringify({ ...event, ...detail, salt: randomBytes(16).toString('hex') })));
      // Nothing reaches the disk before it has to: a kill loses it.
      if (options?.mustFlush === true) flush();
      return { firstIndex };
    },
    checkpointNow: async () => checkpoint(),
    lastAnchorValue: () => anchorsOf(entries).at(-1)?.value ?? 0,
    headProof,
    addCosignatures: async (lines, size) => {
      const { treeSize, note } = headProof();
      if (treeSize === size) writeFileSync(checkpointPath, note + lines);
    },
  };
}

/** What the anchor entries say, in their order. */
export function anchorsOf(entries: readonly string[]): readonly { readonly value: number; readonly tree_size: number; readonly root_hash: string; readonly index: number }[] {
  return entries.flatMap((text, index) => {
    const entry = JSON.parse(text) as { op: string; anchor?: { value: number; tree_size: number; root_hash: string } };
    return entry.op === 'anchor' && entry.anchor !== undefined ? [{ ...entry.anchor, index }] : [];
  });
}

export function rootOf(entries: readonly string[]): Buffer {
  return treeHash(entries.map(leafOf));
}

function leafOf(text: string): Buffer {
  return hash(LEAF, Buffer.from(text));
}

/** The largest power of two below n. */
function splitOf(n: number): number {
  return 2 ** Math.floor(Math.log2(n - 1));
}

/** MTH(D[n]) of RFC 6962 §2.1, over leaf hashes. */
function treeHash(leaves: readonly Buffer[]): Buffer {
  const [only] = leaves;
  if (only === undefined) return hash();
  if (leaves.length === 1) return only;
  const at = splitOf(leaves.length);
  return hash(NODE, treeHash(leaves.slice(0, at)), treeHash(leaves.slice(at)));
}

/** SUBPROOF(m, D[n], b) of RFC 6962 §2.1.2. */
function consistency(m: number, leaves: readonly Buffer[], isWhole: boolean): Buffer[] {
  if (m === leaves.length) return isWhole ? [] : [treeHash(leaves)];
  const at = splitOf(leaves.length);
  return m <= at
    ? [...consistency(m, leaves.slice(0, at), isWhole), treeHash(leaves.slice(at))]
    : [...consistency(m - at, leaves.slice(at), false), treeHash(leaves.slice(0, at))];
}

function privateKeyIn(path: string): KeyObject {
  if (!existsSync(path)) writeFileSync(path, generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
  return createPrivateKey(readFileSync(path));
}
