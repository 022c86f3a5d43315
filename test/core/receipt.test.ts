import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkReceipt, parseVkey } from '../../client/src/index.ts';
import { leafHash } from '../../client/src/log/hash.ts';
import { formatReceipt, parseReceipt } from '../../client/src/log/receipt.ts';
import { inclusionProof } from '../../src/core/log/proofs.ts';
import { createTreeEdge } from '../../src/core/log/tree-edge.ts';
import { slowLogKeys, slowNote } from '../harness/slow-log.ts';
import { createTileStore } from '../harness/tile-store.ts';

const ORIGIN = 'ron-kms/01932c07-2b4e-7c55-9a2f-0123456789ab';
const SIZE = 300;
const TIME = 1_790_000_000;
const entryAt = (index: number): Buffer => Buffer.from(JSON.stringify({ op: 'sign', op_id: `op-${index}`, v: 1 }));
const keys = slowLogKeys(ORIGIN, 1);
const vkeys = keys.vkeys.map((vkey) => parseVkey(vkey)).filter((key) => key !== undefined);

const edge = createTreeEdge();
for (let i = 0; i < SIZE; i++) edge.append(leafHash(i === 299 ? Buffer.from('[1]') : i === 298 ? Buffer.from('{') : entryAt(i)));
const store = createTileStore();
store.write(edge);
const note = slowNote({ origin: ORIGIN, size: SIZE, rootHash: edge.rootHash() }, TIME, keys);

async function receiptOf(index: number, entry = entryAt(index)) {
  return { entry, index, proof: await inclusionProof(index, SIZE, store.read), note };
}

const why = (text: string): string => {
  const checked = checkReceipt(text, vkeys);
  return checked.ok ? 'none' : checked.why;
};

const notThere = (index: number): string => `the entry is not at index ${index} of the tree that the log signed`;

describe('a receipt', () => {
  test('is checked with nothing but the keys, and says what was done, where and when', async () => {
    for (const index of [0, 1, 255, 256, 297]) {
      const text = formatReceipt(await receiptOf(index));
      expect(checkReceipt(text, vkeys)).toEqual({
        ok: true, entry: entryAt(index), index, checkpoint: { origin: ORIGIN, size: SIZE, rootHash: edge.rootHash() }, fields: { op: 'sign', op_id: `op-${index}`, v: 1 }, timestampS: TIME,
      });
    }
  });

  test('is laid out as tlog-proof says', async () => {
    const receipt = await receiptOf(7);
    const [first, extra, index, ...rest] = formatReceipt(receipt).split('\n');
    expect([first, extra, index]).toEqual(['c2sp.org/tlog-proof@v1', `extra ${entryAt(7).toString('base64')}`, 'index 7']);
    expect(rest.slice(0, receipt.proof.length + 1)).toEqual([...receipt.proof.map((hash) => hash.toString('base64')), '']);
    expect(rest.slice(receipt.proof.length + 1).join('\n')).toBe(note);
    expect(parseReceipt(formatReceipt(receipt))).toEqual(receipt);
  });

  test('over the one entry of a tree has no proof and holds', () => {
    const one = createTreeEdge();
    one.append(leafHash(entryAt(0)));
    const text = formatReceipt({ entry: entryAt(0), index: 0, proof: [], note: slowNote({ origin: ORIGIN, size: 1, rootHash: one.rootHash() }, TIME, keys) });
    expect(checkReceipt(text, vkeys)).toMatchObject({ ok: true, index: 0 });
  });

  test('without its entry is one of another log\'s, which this cannot check', async () => {
    const { entry: _entry, ...bare } = await receiptOf(7);
    expect(parseReceipt(formatReceipt(bare))).toEqual(bare);
    expect(why(formatReceipt(bare))).toBe('the receipt does not carry its entry');
  });

  test('does not hold for another entry, index, proof or tree', async () => {
    const receipt = await receiptOf(7);
    expect(why(formatReceipt({ ...receipt, entry: Buffer.from(entryAt(7).toString().replace('sign', 'read')) }))).toBe(notThere(7));
    expect(why(formatReceipt({ ...receipt, entry: Buffer.alloc(65_536) }))).toBe(notThere(7));
    expect(why(formatReceipt({ ...receipt, index: 8 }))).toBe(notThere(8));
    expect(why(formatReceipt({ ...receipt, index: SIZE }))).toBe(notThere(SIZE));
    expect(why(formatReceipt({ ...receipt, proof: receipt.proof.slice(1) }))).toBe(notThere(7));
    expect(why(formatReceipt({ ...receipt, proof: receipt.proof.toReversed() }))).toBe(notThere(7));
    expect(why(formatReceipt({ ...receipt, note: slowNote({ origin: ORIGIN, size: SIZE, rootHash: Buffer.alloc(32) }, TIME, keys) }))).toBe(notThere(7));
  });

  test('does not hold when the log did not sign it', async () => {
    const receipt = await receiptOf(7);
    const forger = slowLogKeys(ORIGIN, 9);
    expect(why(formatReceipt({ ...receipt, note: slowNote({ origin: ORIGIN, size: SIZE, rootHash: edge.rootHash() }, TIME, forger) }))).toMatch(/^no known Ed25519 key/);
    expect(checkReceipt(formatReceipt(receipt), [])).toEqual({ ok: false, why: `no key of the log ${ORIGIN} was given` });
  });

  test('over what is no JSON object says so', async () => {
    expect(why(formatReceipt(await receiptOf(299, Buffer.from('[1]'))))).toBe('the entry is in the log, and is not a JSON object');
    expect(why(formatReceipt(await receiptOf(298, Buffer.from('{'))))).toBe('the entry is in the log, and is not a JSON object');
  });

  test('is refused in any other form', async () => {
    const text = formatReceipt(await receiptOf(7));
    const proofLine = text.split('\n')[3] ?? '';
    const wrong = [
      '', 'c2sp.org/tlog-proof@v1', text.replace('@v1', '@v2'), `\n${text}`, text.replace('index 7', 'index 07'), text.replace('index 7', 'index -1'), text.replace('index 7', 'index 9007199254740992'),
      text.replace('index 7', 'index'), text.replace('index 7\n', ''), text.replace('extra ', 'extra  '), text.replace('extra ', 'extra'), text.replace(/extra (.*)\n/, 'extra $1\nextra $1\n'), text.replace(/(extra .*)\n(index .*)\n/, '$2\n$1\n'),
      text.replace(/=\n/, '\n'), text.replace(proofLine, 'AAAA'), text.replace(proofLine, ''), text.replace(`${proofLine}\n`, `${proofLine}\n`.repeat(60)), text.replaceAll('\n', '\r\n'), text.replace('\n\n', '\n'),
    ];
    for (const [i, bad] of wrong.entries()) {
      expect(bad, `case ${i}`).not.toBe(text);
      expect(checkReceipt(bad, vkeys), `case ${i}`).toMatchObject({ ok: false });
    }
  });

  test('with anything changed anywhere is refused, or says the same', async () => {
    const text = formatReceipt(await receiptOf(200));
    const same = checkReceipt(text, vkeys);
    fc.assert(fc.property(fc.nat(text.length - 1), fc.constantFrom('', '\n', ' ', 'A', '=', '7', '\0', '—'), fc.boolean(), (at, put, isInserted) => {
      const changed = text.slice(0, at) + put + text.slice(isInserted ? at : at + 1);
      const checked = checkReceipt(changed, vkeys);
      if (checked.ok) expect(checked).toEqual(same);
    }), { numRuns: 300 });
  });
});
