import type { DatabaseSync } from 'node:sqlite';
import type { Change } from './authentication.ts';
import type { KeyRing } from './mac-keys.ts';
import type { Finding, History } from './protocol.ts';
import { DIGEST_BYTES, FIRST_CHAIN, headMac, isAuthentic, nextChain, RECORD } from './authentication.ts';
import { prepare } from './database.ts';

/** What the changes say each record has to be, the chain of them held against the head. Without keys no MAC is looked at. */
export function checkHistory(database: DatabaseSync, ring: KeyRing | undefined): History & { readonly chain: Buffer } {
  const findings: Finding[] = [];
  const history = readChanges(database, findings);
  checkHead(database, ring, history, findings);
  return { ...history, findings };
}

type Read = Omit<History, 'findings'> & { readonly chain: Buffer };

function readChanges(database: DatabaseSync, findings: Finding[]): Read {
  const [count] = prepare(database, 'SELECT COALESCE(MAX(id), 0) FROM changes').get() as unknown as [number];
  // Ids are given without holes, and each has a change: no record has a higher one.
  const generations = new Float64Array(count + 1);
  const digests = new Uint8Array((count + 1) * DIGEST_BYTES);
  const nonces = new Map<number, { readonly generation: number; readonly digest: Uint8Array }>();
  let [generation, intent, rows] = [0, undefined as number | undefined, 0];
  let chain: Buffer = FIRST_CHAIN;
  let together: Change[] = [];
  const close = (): void => {
    if (together.length > 0) chain = nextChain(chain, generation, intent, together);
    together = [];
  };
  for (const row of rowsIn(database)) {
    const [id, at, kind, recordId, digest, of] = row as [number, number, number, number, Uint8Array, number | null];
    const fault = faultOf(id, at, recordId, digest);
    if (fault !== undefined) {
      findings.push({ what: `${fault}: the history of the store was cut or changed` });
      break;
    }
    if (at !== generation) {
      close();
      [generation, intent] = [at, of ?? undefined];
    }
    together.push({ kind, recordId, digest });
    if (kind === RECORD) {
      generations[recordId] = at;
      digests.set(digest, recordId * DIGEST_BYTES);
    } else nonces.set(recordId, { generation: at, digest });
  }
  close();
  return { generation, chain, generations, digests, nonces, isWhole: findings.length === 0 };

  function faultOf(id: number, at: number, recordId: number, digest: Uint8Array): string | undefined {
    if (id !== ++rows) return `change ${rows} is missing`;
    if (at !== generation && at !== generation + 1) return `the changes of generation ${generation + 1} are missing`;
    return recordId < 1 || recordId > count || digest.length !== DIGEST_BYTES ? `change ${id} was changed` : undefined;
  }
}

const SLICE = 512;

/** All changes in the order of their ids; a slice at once takes half the time of one row after the other. */
function* rowsIn(database: DatabaseSync): Generator {
  const slice = prepare(database, 'SELECT id, generation, kind, record_id, digest, intent FROM changes WHERE id > ? ORDER BY id LIMIT ?');
  for (let rows, last = -Infinity; (rows = slice.all(last, SLICE)).length > 0; [last] = rows.at(-1) as unknown as [number]) yield* rows;
}

function checkHead(database: DatabaseSync, ring: KeyRing | undefined, { generation, chain }: Read, findings: Finding[]): void {
  const head = readHead(database);
  if (head === undefined || !isAuthentic(ring, head.epoch, head.mac, (key) => headMac(key, head.generation, head.chain))) {
    findings.push({ what: 'the head of the store does not authenticate: it was changed, or is of another instance' });
  } else if (findings.length === 0 && (head.generation !== generation || !chain.equals(head.chain))) {
    findings.push({ what: `the history of the store does not lead to its head at generation ${head.generation}: a change was dropped, added or put elsewhere` });
  }
}

interface Head {
  readonly generation: number;
  readonly chain: Uint8Array;
  readonly epoch: string;
  readonly mac: Uint8Array;
}

function readHead(database: DatabaseSync): Head | undefined {
  const row = prepare(database, 'SELECT generation, chain, epoch, mac FROM head').get() as unknown as [number, Uint8Array, string, Uint8Array] | undefined;
  return row && { generation: row[0], chain: row[1], epoch: row[2], mac: row[3] };
}
