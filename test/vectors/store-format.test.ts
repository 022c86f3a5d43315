import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { gcm } from '@noble/ciphers/aes.js';
import { blake2b } from '@noble/hashes/blake2.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import canonicalize from 'canonicalize';
import { afterAll, describe, expect, test } from 'vitest';
import { createKemPrimitives } from '../../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { createFileCustody } from '../../src/adapters/custody-file/custody.ts';
import { openBlob } from '../../src/adapters/custody-file/sealed-blob.ts';
import { rootKeysOf } from '../../src/adapters/root-key/root-keys.ts';
import { openFileStore } from '../../src/adapters/store-file/store.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { systemProcesses } from '../../src/adapters/system/processes.ts';
import { aeads, specOf } from '../../src/core/algorithm/table.ts';
import { Secret } from '../../src/core/secret.ts';

interface Vector {
  readonly instance_id: string;
  readonly root_key_hex: string;
  readonly epoch: string;
  readonly mac_key_hex: string;
  readonly generation: number;
  readonly records: readonly { readonly kid: string; readonly generation: number; readonly aead: string; readonly seeds_hex: string; readonly blob_hex: string }[];
  readonly refused: readonly { readonly name: string; readonly kid: string; readonly generation: number; readonly blob_hex: string }[];
}

const directory = mkdtempSync(join(tmpdir(), 'ron-kms-store-vector-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const vectors = new URL('../../docs/formats/vectors/', import.meta.url);
const vector = JSON.parse(readFileSync(new URL('store.json', vectors), 'utf8')) as Vector;
copyFileSync(new URL('store-v1.db', vectors), join(directory, 'keys.db'));

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
};
const derived = (info: string): Uint8Array => hkdf(sha256, hex(vector.root_key_hex), utf8(vector.instance_id), utf8(info), 32);

/** docs/formats/store.md once more, slowly, with other libraries. */
function openSlowly(blob: Buffer, kid: string, generation: number): Uint8Array | undefined {
  const [tenant = '', purpose = ''] = kid.split('/');
  const cipher = { 2: gcm, 3: chacha20poly1305 }[blob[1] ?? 0];
  if (blob[0] !== 1 || cipher === undefined || blob.toString('hex', 2, 10) !== vector.epoch) return undefined;
  const aad = Buffer.concat([blob.subarray(0, 10), u64(generation), utf8(kid)]);
  try {
    return cipher(derived(`ron-kms::${tenant}::${purpose}::${kid}`), blob.subarray(10, 22), aad).decrypt(blob.subarray(22));
  } catch {
    return undefined;
  }
}

const macOf = (...parts: readonly Uint8Array[]): string => Buffer.from(blake2b(Buffer.concat(parts), { key: hex(vector.mac_key_hex), dkLen: 32 })).toString('hex');
const digestOf = (...lines: readonly (string | number)[]): Uint8Array => sha256(utf8(lines.join('\n')));
const text = (bytes: unknown): string => Buffer.from(bytes as Uint8Array).toString('hex');

describe('docs/formats/vectors/store.json', () => {
  test('every private part opens for other libraries in its place, and gives its seeds', () => {
    expect(vector.records).toHaveLength(6);
    for (const { kid, generation, blob_hex: blob, seeds_hex: seeds } of vector.records) expect(text(openSlowly(hex(blob), kid, generation))).toBe(seeds);
  });

  test('what is refused opens for nobody', () => {
    const memory = createLockedMemory();
    const rootKeys = rootKeysOf([{ epoch: vector.epoch, key: new Secret(hex(vector.root_key_hex)) }], vector.instance_id, memory);
    for (const { kid, generation, blob_hex: blob } of vector.records) expect(text(openBlob(hex(blob), { kid, generation }, rootKeys, memory))).not.toBe('');
    expect(vector.refused).toHaveLength(6);
    for (const { name, kid, generation, blob_hex: blob } of vector.refused) {
      expect(openSlowly(hex(blob), kid, generation), name).toBeUndefined();
      expect(openBlob(hex(blob), { kid, generation }, rootKeys, memory), name).toBeUndefined();
    }
  });
});

test('docs/formats/vectors/store-v1.db is what the page says, row by row', () => {
  const database = new DatabaseSync(join(directory, 'keys.db'), { readOnly: true });
  const all = (sql: string): Record<string, any>[] => database.prepare(sql).all();
  expect(text(derived('ron-kms::ron-kms::store::mac'))).toBe(vector.mac_key_hex);
  expect([all('PRAGMA application_id')[0]?.['application_id'], all('PRAGMA user_version')[0]?.['user_version']]).toEqual([0x72_6b_6d_73, 1]);

  const last = new Map<string, string>();
  let chain: Uint8Array = new Uint8Array(32);
  const changes = all('SELECT * FROM changes ORDER BY id');
  for (let generation = 1; generation <= vector.generation; generation++) {
    const own = changes.filter((change) => change['generation'] === generation);
    expect(own.length).toBeGreaterThan(0);
    const intent = own[0]?.['intent'] as number | null;
    chain = sha256(Buffer.concat([chain, u64(generation), u64(intent === null ? 0 : intent + 1), ...own.flatMap(({ kind, record_id: id, digest }) => [Buffer.of(kind), u64(id), digest as Uint8Array])]));
    for (const { kind, record_id: id, digest } of own) last.set(`${kind} ${id}`, text(digest));
  }
  const [head = {}] = all('SELECT * FROM head');
  expect([head['generation'], text(head['chain']), text(head['mac'])]).toEqual([vector.generation, text(chain), macOf(Buffer.of(2), u64(vector.generation), chain)]);

  const records = all('SELECT * FROM records ORDER BY id');
  expect(records.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6]);
  for (const { id, kid, generation, content, sealed, mac } of records) {
    const digest = digestOf(kid, generation, content);
    expect(text(digest)).toBe(last.get(`0 ${id}`));
    expect(text(mac)).toBe(macOf(Buffer.of(1), u64(id), digest, (sealed ?? new Uint8Array(0)) as Uint8Array));
    const facts = JSON.parse(content) as Record<string, any>;
    expect(canonicalize(facts)).toBe(content);
    const blob = vector.records.find((record) => record.kid === kid)?.blob_hex;
    expect(sealed === null ? facts['state'] : text(sealed)).toBe(sealed === null ? 'destroyed' : blob);
    for (const [place, part] of (facts['public'] as { sha256?: string }[]).entries()) {
      if (part.sha256 !== undefined) expect(text(sha256(all(`SELECT bytes FROM public_parts WHERE id = ${id * 8 + place}`)[0]?.['bytes'] as Uint8Array))).toBe(part.sha256);
    }
  }
  for (const { record_id: id, reserved_end: end, generation, mac } of all('SELECT * FROM nonces')) {
    const digest = digestOf(records.find((record) => record['id'] === id)?.['kid'] as string, generation, end);
    expect([end, text(digest), text(mac)]).toEqual(['65536', last.get(`1 ${id}`), macOf(Buffer.of(4), u64(id), digest)]);
  }
  for (const { scope_hash: scope, body, expires_at: expires, mac } of all('SELECT * FROM operations')) {
    expect([text(scope), text(mac)]).toEqual([text(sha256(utf8('["root","client","core","create","op"]'))), macOf(Buffer.of(3), scope as Uint8Array, u64(expires), utf8(body))]);
  }
  database.close();
});

test('a store of format v1 opens in this version, and its keys sign', async () => {
  const memory = createLockedMemory();
  const rootKeys = rootKeysOf([{ epoch: vector.epoch, key: new Secret(hex(vector.root_key_hex)) }], vector.instance_id, memory);
  const store = await openFileStore({ directory, rootKeys, mayCreate: false, cacheKeysMax: 8, processes: systemProcesses });
  expect([store.integrity(), store.generation()]).toEqual([undefined, vector.generation]);
  const cache = createPublicKeyCache(8);
  const primitives = { signatures: createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys: cache }), kems: createKemPrimitives(cache) };
  const custody = createFileCustody({ primitives, memory, rootKeys, aead: aeads['ChaCha20-Poly1305'], cacheKeysMax: 8 });
  const everything = { tenant: undefined, purpose: undefined, alg: undefined, state: undefined, label: undefined, after: undefined, limit: 10, admits: () => true };
  const { keys } = await store.list(everything);
  expect(keys.map(({ versions }) => versions.map(({ state }) => state).join())).toEqual(['enabled,enabled', 'disabled', 'destroyed', 'enabled', 'enabled']);
  for (const { alg, parameterSet, versions } of keys) {
    const spec = specOf(alg, parameterSet);
    if (spec.kind === 'signature') for (const version of versions) expect(await custody.sign(version, spec.schemes, Buffer.from('m'), Buffer.alloc(0))).toHaveLength(spec.schemes.length);
  }
  expect(await store.takeNonce(vector.records[3]?.kid ?? '', undefined)).toBe('reserve');
  expect((await store.findOperation('["root","client","core","create","op"]', 0))?.key.base).toBe(keys[1]?.base);
  await store.close();
});
