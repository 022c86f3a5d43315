import type { AnchoredHead } from '../../ports/anchor.ts';
import { timingSafeEqual } from 'node:crypto';
import { decodeBase64 } from '../../core/base64.ts';
import { canonicalJson } from '../../core/canonical-json.ts';
import { parseStrictJson } from '../../core/strict-json.ts';

/** What the file holds (docs/formats/anchor.md). */
export interface AnchorRecord {
  readonly origin: string;
  readonly value: number;
  readonly head: AnchoredHead;
}

/** HMAC-SHA256 under a key that only the log's signer holds. */
export type Mac = (bytes: Buffer) => Buffer;

const FORMAT_VERSION = 1;
/** Keeps what is authenticated here apart from all else under the same key. */
const MAC_CONTEXT = 'ron-kms/anchor/v1\n';
const ROOT_HASH_BYTES = 32;

export function encodeAnchorRecord(record: AnchorRecord, mac: Mac): Buffer {
  return Buffer.from(`${canonicalJson({ ...membersOf(record), mac: macOf(record, mac).toString('base64') })}\n`);
}

/**
 * Undefined when the bytes are not exactly what the service wrote. Of another log only the origin is believed,
 * as its MAC is under another key; it is there to be named.
 */
export function parseAnchorRecord(bytes: Buffer, origin: string, mac: Mac): AnchorRecord | { readonly otherOrigin: string } | undefined {
  const fields = fieldsOf(bytes);
  if (fields === undefined) return undefined;
  if (fields.origin !== origin) return { otherOrigin: fields.origin };
  // One spelling of one record: written again, it has to give the same bytes.
  const expected = encodeAnchorRecord(fields, mac);
  return expected.length === bytes.length && timingSafeEqual(expected, bytes) ? fields : undefined;
}

/** The counter goes up by one, over a log that has grown. Whoever asks for anything else has another past than the medium. */
export function faultOfStep(held: AnchorRecord | undefined, value: number, treeSize: number, what: string): string | undefined {
  const heldValue = held?.value ?? 0;
  const heldSize = held?.head.treeSize ?? 0;
  if (value !== heldValue + 1) return `${what} stands at ${heldValue} and was to go to ${value}: it never goes back and leaves none out`;
  if (treeSize < heldSize) return `${what} has seen ${heldSize} entries and was to go back to ${treeSize}`;
  return undefined;
}

/** As anybody can read it, without the key that authenticates it: all but the MAC is held against its form. */
export function readAnchorRecord(bytes: Buffer): AnchorRecord | undefined {
  const fields = fieldsOf(bytes);
  if (fields === undefined) return undefined;
  const { mac } = parseStrictJson(bytes) as Readonly<Record<string, unknown>>;
  return `${canonicalJson({ ...membersOf(fields), mac })}\n` === bytes.toString('utf8') ? fields : undefined;
}

function membersOf({ origin, value, head }: AnchorRecord) {
  return { v: FORMAT_VERSION, origin, value, tree_size: head.treeSize, root_hash: head.rootHash.toString('base64') };
}

function macOf(record: AnchorRecord, mac: Mac): Buffer {
  return mac(Buffer.from(`${MAC_CONTEXT}${canonicalJson(membersOf(record))}`));
}

function fieldsOf(bytes: Buffer): AnchorRecord | undefined {
  try {
    const { v, origin, value, tree_size: treeSize, root_hash: root } = parseStrictJson(bytes) as Readonly<Record<string, unknown>>;
    if (v !== FORMAT_VERSION || typeof origin !== 'string' || typeof root !== 'string' || !isCount(value) || !isCount(treeSize)) return undefined;
    const rootHash = decodeBase64(root);
    return rootHash.length === ROOT_HASH_BYTES ? { origin, value, head: { treeSize, rootHash } } : undefined;
  } catch {
    return undefined;
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 1;
}
