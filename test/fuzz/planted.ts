/** Parsers that are broken on purpose: whether the search finds it (test/fuzz/fuzz.test.ts). */
import type { FuzzTarget } from './engine.ts';

/** Four bytes, one behind the other, and nothing says which: without looking at coverage one in four billion. */
function magic(input: Buffer): void {
  if (input[0] !== 0x52) return;
  if (input[1] !== 0x4b) return;
  if (input[2] !== 0x57) return;
  if (input[3] !== 0x01) return;
  throw new Error('planted: the magic was found');
}

/** A length that is believed. */
function length(input: Buffer): void {
  if (input.length < 4) return;
  const said = input.readUInt16BE(0);
  if (said > 64 && said <= 300) input.readUInt8(said + 2);
}

/** Two spellings of one thing. */
function spelling(input: Buffer): void {
  const text = input.toString('latin1');
  if (/^\d+$/.test(text) && String(Number(text)) !== text) throw new Error('planted: two spellings');
}

export const planted: readonly FuzzTarget[] = [
  { name: 'magic', seeds: [Buffer.from('....')], run: magic },
  { name: 'length', seeds: [Buffer.from([0, 2, 1, 1])], run: length },
  { name: 'spelling', seeds: [Buffer.from('12')], run: spelling },
];
