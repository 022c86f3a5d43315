/** Makes docs/formats/vectors/backup-v1.kmsbackup and backup.json out of the store vector: `node scripts/make-backup-vector.ts`. */
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { newHeader, streamKeyOf } from '../src/adapters/backup-file/format.ts';
import { measure, writeBackup } from '../src/adapters/backup-file/write-backup.ts';
import { createLockedMemory } from '../src/adapters/system/locked-memory.ts';
import { Secret } from '../src/core/secret.ts';

const DIRECTORY = new URL('../docs/formats/vectors/', import.meta.url);
const store = JSON.parse(readFileSync(new URL('store.json', DIRECTORY), 'utf8')) as { instance_id: string; root_key_hex: string; epoch: string; generation: number; records: unknown[] };
const keyfile = Buffer.from('backup vector key of 32 bytes ok', 'latin1');
const memory = createLockedMemory();
const databasePath = fileURLToPath(new URL('store-v1.db', DIRECTORY));

const header = newHeader({ seal: 'keyfile', secret: new Secret(Buffer.from(keyfile)) }, store.instance_id, '2026-11-24T00:00:00.000Z');
const manifest = {
  generation: store.generation, records: store.records.length,
  log: { origin: `ron-kms/${store.instance_id}`, size: 7, root_hash: Buffer.alloc(32, 7).toString('base64'), checkpoint: 'a signed note stands here' },
  database: await measure(databasePath),
};
const work = mkdtempSync(join(tmpdir(), 'ron-kms-backup-vector-'));
const key = await streamKeyOf(header, new Secret(Buffer.from(keyfile)), memory);
await writeBackup(join(work, 'backup'), { header, manifest, rootKeys: [{ epoch: store.epoch, key: new Secret(Buffer.from(store.root_key_hex, 'hex')) }], databasePath, signal: new AbortController().signal }, key, memory);
renameSync(join(work, 'backup'), new URL('backup-v1.kmsbackup', DIRECTORY));
rmSync(work, { recursive: true });
writeFileSync(new URL('backup.json', DIRECTORY), `${JSON.stringify({ keyfile_hex: keyfile.toString('hex'), root_keys: [{ epoch: store.epoch, key_hex: store.root_key_hex }], manifest }, undefined, 2)}\n`);
