/** What a disk, or somebody with its files in hand, can do to a log. */
import { cpSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { blake3Hex } from '../../src/core/digest.ts';
import { encodeBundle, splitBundle } from '../../src/core/log/tiles.ts';

/** Changes one bit of a file, this far into it. */
export function flipBit(path: string, share = 0.5): void {
  const bytes = readFileSync(path);
  const at = Math.floor(bytes.length * share);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
  writeFileSync(path, bytes);
}

/** Other entries in a bundle, its form kept. */
export function editBundle(path: string, edit: (entries: Buffer[]) => readonly Buffer[]): void {
  const entries = splitBundle(readFileSync(path));
  if (entries === undefined) throw new Error(`${path} is no bundle`);
  writeFileSync(path, encodeBundle(edit(entries)));
}

export const withoutTenth = (entries: readonly Buffer[]): readonly Buffer[] => entries.toSpliced(10, 1);

export function withPairSwapped([first, second, third, ...rest]: readonly Buffer[]): readonly Buffer[] {
  if (first === undefined || second === undefined || third === undefined) throw new Error('too few entries to swap');
  return [first, third, second, ...rest];
}

/** docs/formats/log.md: magic, first index u64, count u32, payload bytes u32, 16 bytes of BLAKE3, payload. */
const HASHED_BYTES = 20;
const HEADER_BYTES = 36;

interface Frame {
  readonly start: number;
  readonly end: number;
  readonly firstIndex: number;
  readonly count: number;
}

function framesOf(journal: Buffer): readonly Frame[] {
  const frames: Frame[] = [];
  for (let start = 0; start + HEADER_BYTES <= journal.length;) {
    const end = start + HEADER_BYTES + journal.readUInt32BE(16 + start);
    frames.push({ start, end, firstIndex: Number(journal.readBigUInt64BE(4 + start)), count: journal.readUInt32BE(12 + start) });
    start = end;
  }
  return frames;
}

/** The newest file of the journal, which a process that is killed leaves. */
function journalOf(auditDir: string): string {
  const name = readdirSync(join(auditDir, 'journal')).toSorted().at(-1);
  if (name === undefined) throw new Error('there is no journal');
  return join(auditDir, 'journal', name);
}

/** One bit of the frame that holds the middle one of the journal's entries; gives the first index of that frame. */
export function flipBitInJournal(auditDir: string): number {
  const path = journalOf(auditDir);
  const bytes = readFileSync(path);
  const full = framesOf(bytes).filter(({ count }) => count > 0);
  const { firstIndex, end } = full[Math.floor(full.length / 2)] as Frame;
  bytes.writeUInt8(bytes.readUInt8(end - 100) ^ 1, end - 100);
  writeFileSync(path, bytes);
  return firstIndex;
}

export function dropFrame(auditDir: string): number {
  const path = journalOf(auditDir);
  const bytes = readFileSync(path);
  const full = framesOf(bytes).filter(({ count }) => count > 0);
  const { start, end, firstIndex } = full[Math.floor(full.length / 2)] as Frame;
  writeFileSync(path, Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)]));
  return firstIndex;
}

/** Swaps two entries of one write, and seals the frame anew: whoever can write the file can do that too. */
export function swapInJournal(auditDir: string): number {
  const path = journalOf(auditDir);
  const bytes = readFileSync(path);
  const { start, end, firstIndex } = framesOf(bytes).find(({ count }) => count > 2) as Frame;
  const header = bytes.subarray(start, start + HASHED_BYTES);
  const payload = encodeBundle(withPairSwapped(splitBundle(bytes.subarray(start + HEADER_BYTES, end)) ?? []));
  const check = Buffer.from(blake3Hex(Buffer.concat([header, payload])).slice(0, 32), 'hex');
  writeFileSync(path, Buffer.concat([bytes.subarray(0, start), header, check, payload, bytes.subarray(end)]));
  return firstIndex + 1;
}

/** Leaves the first half of the journal. */
export function cutJournal(auditDir: string): void {
  const path = journalOf(auditDir);
  truncateSync(path, Math.floor(statSync(path).size / 2));
}

/** These parts of one directory in the place of another's. */
export function takeFrom(other: string, auditDir: string, ...names: readonly string[]): void {
  for (const name of names) {
    rmSync(join(auditDir, name), { recursive: true, force: true });
    cpSync(join(other, name), join(auditDir, name), { recursive: true });
  }
}

/** Every file below the directory with what is in it; `lock` comes and goes with the process. */
export function filesOf(directory: string): ReadonlyMap<string, string> {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name !== 'lock' && statSync(join(directory, name)).isFile());
  return new Map(names.toSorted().map((name) => [name, readFileSync(join(directory, name), 'base64')]));
}
