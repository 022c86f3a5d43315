/** The store's thread: opens the database, checks it, then does what it is asked, one thing after the other. */
import type { Answered, Asked, FirstWords, History, Scanned, WorkerOrder, WriterCalls } from './protocol.ts';
import type { DatabaseSync } from 'node:sqlite';
import type { KeyRing } from './mac-keys.ts';
import { parentPort, workerData } from 'node:worker_threads';
import { FIRST_CHAIN, headMac } from './authentication.ts';
import { checkHistory } from './check-history.ts';
import { scanRecords } from './check-records.ts';
import { openForWriting, prepare } from './database.ts';
import { createKeyRing } from './mac-keys.ts';
import { createWriter } from './writer.ts';
import { reasonOf } from '../../core/reason.ts';

const { path, keys, epoch } = workerData as WorkerOrder;

function start(): void {
  const ring = createKeyRing(keys);
  const database = openForWriting(path);
  if (isNew(database)) putFirstHead(database, ring);
  tell({ opened: true });
  const { chain, ...history } = readHistory(database, ring);
  tell({ history }, buffersOf(history));
  serve({
    ...createWriter({ database, ring, epoch, chain, generation: history.generation }),
    scanRecords: (order) => scanRecords(database, ring, order),
    close: () => database.close(),
  });
}

function tell(words: FirstWords | Answered, handedOver: readonly ArrayBuffer[] = []): void {
  parentPort?.postMessage(words, [...handedOver]);
}

/** Of a million records they are 40 MB: handed over, not copied. */
function buffersOf({ generations, digests }: Pick<Scanned, 'generations' | 'digests'>): readonly ArrayBuffer[] {
  return [generations.buffer, digests.buffer];
}

/** A crash may have come between the tables and their first row. */
function isNew(database: DatabaseSync): boolean {
  const [rows] = prepare(database, 'SELECT (SELECT count(*) FROM head) + (SELECT count(*) FROM (SELECT 1 FROM changes LIMIT 1)) + (SELECT count(*) FROM (SELECT 1 FROM records LIMIT 1))').get() as unknown as [number];
  return rows === 0;
}

function putFirstHead(database: DatabaseSync, ring: KeyRing): void {
  const key = ring.of(epoch);
  if (key === undefined) throw new Error('the key of the newest epoch is there');
  prepare(database, 'INSERT INTO head (id, generation, chain, epoch, mac) VALUES (1, 0, ?, ?, ?)').run(FIRST_CHAIN, epoch, headMac(key, 0, FIRST_CHAIN));
}

/** What SQLite itself cannot read is a finding as any other: what can be read still verifies. */
function readHistory(database: DatabaseSync, ring: KeyRing): History & { readonly chain: Buffer } {
  try {
    return checkHistory(database, ring);
  } catch (fault) {
    return { generation: 0, chain: FIRST_CHAIN, generations: new Float64Array(0), digests: new Uint8Array(0), nonces: new Map(), isWhole: false, findings: [{ what: `the database is damaged: ${reasonOf(fault)}` }] };
  }
}

function serve(calls: WriterCalls): void {
  parentPort?.on('message', ({ id, call, args }: Asked) => {
    try {
      const result = (calls[call] as (...given: readonly unknown[]) => unknown)(...args);
      tell({ id, result }, call === 'scanRecords' ? buffersOf(result as Scanned) : []);
    } catch (fault) {
      tell({ id, fault: reasonOf(fault) });
    }
    if (call === 'close') parentPort?.close();
  });
}

try {
  start();
} catch (fault) {
  tell({ unopened: reasonOf(fault) });
  parentPort?.close();
}
