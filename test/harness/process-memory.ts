/** The memory of another process as its debugger sees it: proc_pid_maps(5), proc_pid_pagemap(5), proc_pid_mem(5). */
import type { Finder, Hit } from './needles.ts';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

interface Mapping {
  readonly start: number;
  readonly end: number;
  /** A file, `[heap]`, `[stack]`, or nothing. */
  readonly name: string;
  readonly isReadable: boolean;
  /** The kernel never writes it to a swap device. */
  readonly isLocked: boolean;
}

export interface Sighting extends Hit {
  readonly mapping: Mapping;
}

const HEAD = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)$/;
const PAGE_BYTES = 4096;
const PAGE_ENTRY_BYTES = 8;
const PRESENT_OR_SWAPPED = 0xc0;
const PIECE_BYTES = 4 * 1024 * 1024;

function mappingsOf(pid: number): readonly Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const head = HEAD.exec(line);
    const last = mappings.at(-1);
    if (head !== null) mappings.push({ start: parseInt(head[1] ?? '', 16), end: parseInt(head[2] ?? '', 16), isReadable: head[3]?.startsWith('r') === true, name: head[4] ?? '', isLocked: false });
    else if (last !== undefined && line.startsWith('VmFlags:')) mappings[mappings.length - 1] = { ...last, isLocked: line.split(' ').includes('lo') };
  }
  return mappings;
}

/** Where in all that the process holds the needles are. Throws where it may not be looked at. */
export function searchMemory(pid: number, finder: Finder): { readonly searchedBytes: number; readonly sightings: readonly Sighting[] } {
  const sightings: Sighting[] = [];
  const piece = Buffer.alloc(PIECE_BYTES);
  let searchedBytes = 0;
  const [memory, pagemap] = [openSync(`/proc/${pid}/mem`, 'r'), openSync(`/proc/${pid}/pagemap`, 'r')];
  try {
    for (const mapping of mappingsOf(pid).filter(({ isReadable, name }) => isReadable && !name.startsWith('[v'))) {
      for (const { from, to } of heldPages(pagemap, mapping)) {
        // A needle may lie over the edge of two pieces.
        for (let at = from; at < to; at += PIECE_BYTES - finder.longest) {
          const read = readMost(memory, piece, at, Math.min(to - at, PIECE_BYTES));
          searchedBytes += read;
          for (const hit of finder.search(piece.subarray(0, read))) sightings.push({ ...hit, at: at + hit.at, mapping });
        }
      }
    }
  } finally {
    for (const file of [memory, pagemap]) closeSync(file);
  }
  return { searchedBytes, sightings };
}

/** Stretches of pages that are in RAM or in swap; most of what is mapped was never touched. */
function heldPages(pagemap: number, { start, end }: Mapping): readonly { readonly from: number; readonly to: number }[] {
  const entries = Buffer.alloc(((end - start) / PAGE_BYTES) * PAGE_ENTRY_BYTES);
  const read = readMost(pagemap, entries, (start / PAGE_BYTES) * PAGE_ENTRY_BYTES, entries.length);
  const stretches: { from: number; to: number }[] = [];
  for (let at = 0; at < read; at += PAGE_ENTRY_BYTES) {
    // The highest two bits of an entry, little-endian.
    if (((entries[at + PAGE_ENTRY_BYTES - 1] ?? 0) & PRESENT_OR_SWAPPED) === 0) continue;
    const from = start + (at / PAGE_ENTRY_BYTES) * PAGE_BYTES;
    const last = stretches.at(-1);
    if (last?.to === from) last.to += PAGE_BYTES;
    else stretches.push({ from, to: from + PAGE_BYTES });
  }
  return stretches;
}

/** 0 where a mapping has gone meanwhile, or is a guard page. */
function readMost(file: number, into: Buffer, position: number, length: number): number {
  try {
    return readSync(file, into, 0, length, position);
  } catch {
    return 0;
  }
}
