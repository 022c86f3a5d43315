import { createHmac } from 'node:crypto';
import { chmodSync, copyFileSync, mkdtempSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { createFileAnchor } from '../../src/adapters/anchor-file/anchor.ts';
import { encodeAnchorRecord, parseAnchorRecord } from '../../src/adapters/anchor-file/record.ts';
import { canonicalJson } from '../../src/core/canonical-json.ts';
import { openSmallLog } from '../harness/small-log.ts';
import { anchorContract, grow } from './anchor.ts';

const root = mkdtempSync(join(tmpdir(), 'anchor-file-'));
afterAll(() => rmSync(root, { recursive: true }));
let opened = 0;

function openAnchor() {
  const place = join(root, `${opened++}`);
  const medium = join(place, 'medium');
  mkdirSync(medium, { recursive: true });
  const log = openSmallLog(join(place, 'log'), `ron-kms/${opened}`);
  const path = join(medium, 'anchor');
  const reopen = () => createFileAnchor({ path, origin: log.origin, mac: log.mac });
  return {
    anchor: reopen(), log, reopen, path, medium,
    cut: async () => renameSync(medium, `${medium}.away`),
    mend: async () => renameSync(`${medium}.away`, medium),
  };
}

anchorContract('file', async () => openAnchor());

describe('the anchor file', () => {
  test('is canonical JSON with the head, of its owner alone, and nothing is left beside it', async () => {
    const { anchor, log, path } = openAnchor();
    const proof = await grow(log, 3);
    await anchor.advance(1, proof);
    const text = readFileSync(path, 'utf8');
    const { mac, ...rest } = JSON.parse(text) as Record<string, unknown>;
    expect(text).toBe(`${canonicalJson({ mac, ...rest })}\n`);
    expect(rest).toEqual({ v: 1, origin: log.origin, value: 1, tree_size: proof.treeSize, root_hash: proof.rootHash.toString('base64') });
    expect(mac).toBe(log.mac(Buffer.from(`ron-kms/anchor/v1\n${canonicalJson(rest)}`)).toString('base64'));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(() => statSync(`${path}.tmp`)).toThrow('ENOENT');
  });

  test('what a crash left of the next one is not in the way', async () => {
    const { anchor, log, path } = openAnchor();
    writeFileSync(`${path}.tmp`, 'half of it');
    chmodSync(`${path}.tmp`, 0o644);
    expect(await anchor.advance(1, await grow(log, 1))).toEqual({});
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('every flipped bit, every cut and every byte more is seen', async () => {
    const { anchor, log, path } = openAnchor();
    const proof = await grow(log, 1);
    await anchor.advance(1, proof);
    const good = readFileSync(path);
    const bad = [
      ...Array.from({ length: good.length }, (_, at) => flipped(good, at, 1 << at % 8)),
      ...Array.from({ length: good.length }, (_, length) => good.subarray(0, length)),
      Buffer.concat([good, Buffer.from('\n')]), Buffer.alloc(10_000, ' '), Buffer.concat([good, Buffer.alloc(10_000)]),
    ];
    for (const bytes of bad) {
      writeFileSync(path, bytes);
      expect(await anchor.read(proof), bytes.toString()).toHaveProperty('fault', expect.stringMatching(/damaged|of another log/));
    }
    writeFileSync(path, good);
    expect(await anchor.read(proof)).toMatchObject({ value: 1 });
  });

  test('damaged, it is not written over', async () => {
    const { anchor, log, path } = openAnchor();
    await anchor.advance(1, await grow(log, 1));
    writeFileSync(path, 'damaged');
    expect(await anchor.advance(2, await grow(log, 1))).toHaveProperty('fault', expect.stringContaining('damaged'));
    expect(readFileSync(path, 'utf8')).toBe('damaged');
  });

  test('of another instance, it is refused and named', async () => {
    const [one, other] = [openAnchor(), openAnchor()];
    await other.anchor.advance(1, await grow(other.log, 1));
    copyFileSync(other.path, one.path);
    const fault = expect.stringContaining(`of another log, ${other.log.origin}`) as string;
    expect(await one.anchor.read(await grow(one.log, 1))).toEqual({ fault });
    expect(await one.anchor.advance(1, one.log.headProof())).toEqual({ fault });
  });

  test('written by who has not the key of the log, it is refused', async () => {
    const { anchor, log, path } = openAnchor();
    const forger = createFileAnchor({ path, origin: log.origin, mac: () => Buffer.alloc(32) });
    await forger.advance(1, await grow(log, 1));
    expect(await anchor.read(log.headProof())).toHaveProperty('fault', expect.stringContaining('not written by this service'));
  });

  test('it counts by one: nothing is left out and nothing is told twice', async () => {
    const { anchor, log } = openAnchor();
    const proof = await grow(log, 1);
    expect(await anchor.advance(2, proof)).toHaveProperty('fault');
    await anchor.advance(1, proof);
    for (const value of [0, 1, 3]) expect(await anchor.advance(value, proof)).toHaveProperty('fault', expect.stringContaining('stands at 1'));
  });

  test('a medium that is not mounted is out of reach, not lost', async () => {
    const { anchor, log, medium } = openAnchor();
    rmSync(medium, { recursive: true });
    await expect(anchor.read(log.headProof())).rejects.toMatchObject({ code: 'AuditUnavailable' });
    await expect(anchor.advance(1, log.headProof())).rejects.toMatchObject({ code: 'AuditUnavailable' });
  });
});

describe('docs/formats/vectors/anchor.json', () => {
  const { mac_key_hex: key, vectors, refused, other_log: otherLog } = JSON.parse(readFileSync(new URL('../../docs/formats/vectors/anchor.json', import.meta.url), 'utf8')) as Vectors;
  const mac = (bytes: Buffer): Buffer => createHmac('sha256', Buffer.from(key, 'hex')).update(bytes).digest();
  const origin = vectors[0]?.origin ?? '';

  test('is whole: 1 file, 17 refused ones', () => {
    expect([vectors.length, refused.length]).toEqual([1, 17]);
  });

  test.each(vectors)('$name: read as it says, and written the same', ({ file, value, tree_size: treeSize, root_hash: root }) => {
    const record = { origin, value, head: { treeSize, rootHash: Buffer.from(root, 'base64') } };
    expect(parseAnchorRecord(Buffer.from(file), origin, mac)).toEqual(record);
    expect(encodeAnchorRecord(record, mac).toString()).toBe(file);
  });

  test.each(refused)('$name: refused', ({ file }) => {
    expect(parseAnchorRecord(Buffer.from(file), origin, mac)).toBeUndefined();
  });

  test('of another log only the origin is read', () => {
    expect(parseAnchorRecord(Buffer.from(otherLog.file), origin, mac)).toEqual({ otherOrigin: otherLog.origin });
  });
});

interface Vectors {
  readonly mac_key_hex: string;
  readonly vectors: readonly { readonly name: string; readonly file: string; readonly origin: string; readonly value: number; readonly tree_size: number; readonly root_hash: string }[];
  readonly refused: readonly { readonly name: string; readonly file: string }[];
  readonly other_log: { readonly file: string; readonly origin: string };
}

function flipped(bytes: Buffer, at: number, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ bit, at);
  return copy;
}
