import type { Book, ToldEntry } from './book.ts';
import type { Entry } from '../harness/entries.ts';
import { Broken, baseOf, versionOf } from './book.ts';

export function requireEntry(entry: Entry | undefined, { index, opId, op, kid }: ToldEntry): void {
  if (entry === undefined) throw new Broken('entry-first', `${op} was answered with entry ${index}, which is not there`);
  const isIt = entry['op_id'] === opId && entry['op'] === op && entry['kid'] === kid && entry['result'] === 'ok';
  if (!isIt) throw new Broken('answered-is-kept', `${op} by ${kid ?? 'nobody'} was answered with entry ${index}, which is ${JSON.stringify(entry)}`);
}

/** Over the whole log: every answer has its own entry, keys count without a gap, and versions only go up. */
export function requireEntries(entries: readonly Entry[], { told }: Book): void {
  const named = new Set<number>();
  for (const one of told) {
    requireEntry(entries[one.index], one);
    if (named.has(one.index)) throw new Broken('entry-first', `two answers name entry ${one.index}`);
    named.add(one.index);
  }
  const seqs = new Map<string, number>();
  const versions = new Map<string, number>();
  for (const [index, { kid, key_seq: seq, op, result, generation }] of entries.entries()) {
    if (typeof kid !== 'string') continue;
    const base = baseOf(kid);
    const before = seqs.get(base) ?? 0;
    if (seq !== before + 1) throw new Broken('log-is-whole', `entry ${index} of ${base} has key_seq ${String(seq)} behind ${before}`);
    seqs.set(base, seq);
    // A retry is answered again, and changes nothing.
    if (op !== 'rotate' || result !== 'ok' || generation === undefined) continue;
    const version = versionOf(kid);
    if (version <= (versions.get(base) ?? 1)) throw new Broken('versions-go-up', `entry ${index} rotates ${base} to ${version} behind ${versions.get(base) ?? 1}`);
    versions.set(base, version);
  }
}
