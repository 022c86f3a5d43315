import type { KeyObject } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Checkpoint } from '../../client/src/log/checkpoint.ts';
import type { VerifierKey } from '../../client/src/log/vkey.ts';
import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { formatCheckpoint } from '../../client/src/log/checkpoint.ts';
import { cosignatureV1Message, cosignedMessage, encodeTimestamped } from '../../client/src/log/cosignature.ts';
import { verifyConsistency } from '../../client/src/log/merkle.ts';
import { formatSignature } from '../../client/src/log/note.ts';
import { verifyCheckpointNote } from '../../client/src/log/verify-note.ts';
import { SIGNATURE_TYPE, vkeyOf } from '../../client/src/log/vkey.ts';

/** What a witness is known by, and signs with; kept by the test, so that it can be started again. */
export interface WitnessKey {
  readonly key: VerifierKey;
  readonly privateKey: KeyObject;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export type Meddling = (honest: Answer) => Answer | undefined;

export interface WitnessOptions {
  readonly signer: WitnessKey;
  /** The logs it knows, by origin, with the keys it trusts for each. */
  readonly logs: ReadonlyMap<string, readonly VerifierKey[]>;
  /** Where it keeps what it has seen. */
  readonly recordPath: string;
  /** The one it had before, so that it is found again. */
  readonly port?: number;
}

export interface TestWitness {
  readonly url: string;
  readonly port: number;
  /** Every request body so far. */
  readonly requests: readonly string[];
  /** What is done to each honest answer from now on; what gives undefined answers nothing at all. */
  meddle(change: Meddling | undefined): void;
  stop(): Promise<void>;
}

interface Seen {
  readonly size: number;
  readonly root: string;
}

const NAME = 'witness.test/w1';
const REQUEST = /^old (0|[1-9]\d*)\n((?:[A-Za-z0-9+/]{43}=\n){0,63})\n([^]+)$/;

export function makeWitnessKey(algorithm: 'ed25519' | 'ml-dsa-44' = 'ml-dsa-44'): WitnessKey {
  const { publicKey, privateKey } = algorithm === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ml-dsa-44');
  const type = algorithm === 'ed25519' ? SIGNATURE_TYPE.ed25519Cosignature : SIGNATURE_TYPE.mlDsa44Cosignature;
  return { key: vkeyOf(NAME, type, publicKey.export({ format: 'raw-public' })), privateKey };
}

/** One cosignature line, as C2SP tlog-cosignature has it. */
export function cosign({ key, privateKey }: WitnessKey, checkpoint: Checkpoint, timestampS: number): string {
  const message = key.type === SIGNATURE_TYPE.ed25519Cosignature
    ? cosignatureV1Message(timestampS, formatCheckpoint(checkpoint))
    : cosignedMessage({ cosignerName: key.name, timestampS, origin: checkpoint.origin, start: 0, end: checkpoint.size, hash: checkpoint.rootHash });
  return formatSignature({ name: key.name, keyId: key.keyId, signature: encodeTimestamped({ timestampS, signature: sign(null, message, privateKey) }) });
}

/** A small C2SP tlog-witness on loopback: `add-checkpoint`, by the letter of the specification. */
export async function startWitness({ signer, logs, recordPath, port = 0 }: WitnessOptions): Promise<TestWitness> {
  const requests: string[] = [];
  let change: Meddling | undefined;

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = (await buffer(request)).toString();
    requests.push(body);
    const isCall = request.method === 'POST' && request.url === '/add-checkpoint';
    const honest = isCall ? addCheckpoint(body, { signer, logs, recordPath }) : plain(404, 'no such call');
    const answer = change === undefined ? honest : change(honest);
    if (answer !== undefined) response.writeHead(answer.status, { 'content-type': answer.type }).end(answer.body);
  };

  const server = createServer((request, response) => {
    serve(request, response).catch((fault: unknown) => response.destroy(fault as Error));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    requests,
    meddle: (next) => { change = next; },
    async stop() {
      server.close();
      server.closeAllConnections();
      if (server.listening) await once(server, 'close');
    },
  };
}

/** Nothing waits in here, so that no other request comes between the comparison and the record. */
function addCheckpoint(body: string, { signer, logs, recordPath }: Pick<WitnessOptions, 'signer' | 'logs' | 'recordPath'>): Answer {
  const [, old = '', lines = '', note = ''] = REQUEST.exec(body) ?? [];
  if (note === '') return plain(400, 'not old size, proof and checkpoint');
  const keys = logs.get(note.slice(0, note.indexOf('\n')));
  if (keys === undefined) return plain(404, 'unknown origin');
  const verified = verifyCheckpointNote(note, keys);
  if ('fault' in verified) return plain(403, verified.fault);
  const { checkpoint } = verified;
  const oldSize = Number(old);
  if (oldSize > checkpoint.size) return plain(400, 'the old size is beyond the checkpoint');

  const records = readRecords(recordPath);
  const seen = records[checkpoint.origin] ?? { size: 0, root: '' };
  if (seen.size !== oldSize) return { status: 409, type: 'text/x.tlog.size', body: `${seen.size}\n` };
  const root = checkpoint.rootHash.toString('base64');
  if (oldSize === checkpoint.size && oldSize > 0 && seen.root !== root) return plain(409, 'another root at this size');
  const proof = lines.split('\n').slice(0, -1).map((line) => Buffer.from(line, 'base64'));
  const isConsistent = oldSize === 0
    ? proof.length === 0
    : verifyConsistency({ oldSize, oldRoot: Buffer.from(seen.root, 'base64'), newSize: checkpoint.size, newRoot: checkpoint.rootHash, proof });
  if (!isConsistent) return plain(422, 'not consistent');

  writeRecords(recordPath, { ...records, [checkpoint.origin]: { size: checkpoint.size, root } });
  return plain(200, cosign(signer, checkpoint, Math.floor(Date.now() / 1000)));
}

/** What it has seen of each log, as it stands on its disk. */
export function readRecords(path: string): Readonly<Record<string, Seen>> {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record<string, Seen>;
  } catch (fault) {
    if (fault instanceof Error && 'code' in fault && fault.code === 'ENOENT') return {};
    throw fault;
  }
}

function writeRecords(path: string, records: Readonly<Record<string, Seen>>): void {
  const file = openSync(`${path}.new`, 'w', 0o600);
  writeSync(file, JSON.stringify(records));
  fsyncSync(file);
  closeSync(file);
  renameSync(`${path}.new`, path);
}

function plain(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body };
}
