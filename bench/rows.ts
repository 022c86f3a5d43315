import type { RawName } from './raw.ts';
import type { World } from './world.ts';
import type { Durability } from './service-under-test.ts';
import { pathOf, shuffled, signBody, times } from './world.ts';

/** One operation, measured over HTTP. */
export interface OperationRow {
  readonly name: string;
  /** Each count is a measurement of its own. */
  readonly connections: readonly number[];
  /** Operations in one request. */
  readonly items: number;
  /** The file log of the service that answers, and what its answers wait for; left out, the log is in RAM. */
  readonly log?: Durability;
  /** The primitive it is held against. */
  readonly raw?: RawName;
  /** Flushes each mutation to the disk: the rate of flushes alone stands beside it. */
  readonly isFlushed?: true;
  /** What no body of a good answer contains. */
  readonly refusalMark?: string;
  /** The requests of one measurement; the connections take them in turn. */
  prepare(world: World): Promise<readonly string[]>;
}

const SINGLE = [1, 64] as const;
/** Four batches of 64 stay inside the 512 signatures in flight. */
const BATCH = [1, 4] as const;
const BATCH_ITEMS = 64;
/** Different requests of one row, so that nothing is answered twice in a row. */
const VARIETY = 64;
/** As many as `backends.file.cache_keys` has in memory. */
const LIVE_KEYS = 10_000;
/** Keys that are made at once, where many are. */
const MADE_AT_ONCE = 64;
/** Rotated in turn: no key gets more versions than a lively one has. */
const ROTATED_KEYS = 256;

const ED25519 = 'ed25519';
const HYBRID = 'ed25519+ml-dsa';
const X_WING = 'x25519+ml-kem';
const AES = 'aes-256-gcm';

const WRONG = '"ok":false';
const ITEM_ERROR = '"error"';

/** Every operation of the service, in the order in which they are measured and shown. */
export const operationRows: readonly OperationRow[] = [
  { name: 'sign ed25519', connections: SINGLE, items: 1, raw: 'Ed25519 sign', prepare: (world) => signs(world, ED25519) },
  { name: 'sign ed25519, disk', log: 'disk', connections: SINGLE, items: 1, raw: 'Ed25519 sign', prepare: (world) => signs(world, ED25519) },
  // The cheapest signature there is: what finding the right one of many keys costs shows most beside it.
  { name: 'sign ed25519, disk, 10,000 keys', log: 'disk', connections: [64], items: 1, raw: 'Ed25519 sign', prepare: (world) => signsOfMany(world, ED25519) },
  { name: 'sign ed25519, os', log: 'os', connections: SINGLE, items: 1, raw: 'Ed25519 sign', prepare: (world) => signs(world, ED25519) },
  { name: 'sign hybrid', connections: SINGLE, items: 1, raw: 'ML-DSA-65 sign', prepare: (world) => signs(world, HYBRID) },
  { name: 'sign hybrid, disk', log: 'disk', connections: SINGLE, items: 1, raw: 'ML-DSA-65 sign', prepare: (world) => signs(world, HYBRID) },
  { name: 'sign ml-dsa', connections: SINGLE, items: 1, raw: 'ML-DSA-65 sign', prepare: (world) => signs(world, 'ml-dsa') },
  { name: 'sign composite', connections: SINGLE, items: 1, raw: 'composite sign', prepare: (world) => signs(world, 'mldsa65-ed25519-sha512') },
  { name: 'sign batch ed25519', connections: BATCH, items: BATCH_ITEMS, raw: 'Ed25519 sign', refusalMark: ITEM_ERROR, prepare: (world) => signBatches(world, ED25519) },
  { name: 'sign batch ed25519, disk', log: 'disk', connections: BATCH, items: BATCH_ITEMS, raw: 'Ed25519 sign', refusalMark: ITEM_ERROR, prepare: (world) => signBatches(world, ED25519) },
  { name: 'verify ed25519', connections: SINGLE, items: 1, raw: 'Ed25519 verify', refusalMark: WRONG, prepare: (world) => verifies(world, ED25519) },
  { name: 'verify hybrid', connections: SINGLE, items: 1, raw: 'ML-DSA-65 verify', refusalMark: WRONG, prepare: (world) => verifies(world, HYBRID) },
  { name: 'verify batch ed25519', connections: BATCH, items: BATCH_ITEMS, raw: 'Ed25519 verify', refusalMark: WRONG, prepare: (world) => verifyBatches(world, ED25519) },
  { name: 'wrap x-wing', connections: SINGLE, items: 1, raw: 'X-Wing seal', prepare: (world) => wraps(world, X_WING) },
  { name: 'unwrap x-wing', connections: SINGLE, items: 1, raw: 'X-Wing open', prepare: (world) => unwraps(world, X_WING, '/unwrap') },
  { name: 'rewrap x-wing', connections: SINGLE, items: 1, raw: 'X-Wing open, seal', prepare: (world) => unwraps(world, X_WING, '/rewrap') },
  { name: 'wrap aes-256-gcm', connections: SINGLE, items: 1, raw: 'AES-256-GCM seal', prepare: (world) => wraps(world, AES) },
  { name: 'unwrap aes-256-gcm', connections: SINGLE, items: 1, raw: 'AES-256-GCM open', prepare: (world) => unwraps(world, AES, '/unwrap') },
  { name: 'get key', connections: SINGLE, items: 1, prepare: async (world) => [world.request('GET', `/keys/${pathOf(await world.sharedKey(HYBRID))}`)] },
  { name: 'token', connections: SINGLE, items: 1, prepare: async (world) => [world.request('GET', '/token')] },
  // Last, as the store only grows from here on.
  { name: 'create hybrid', connections: SINGLE, items: 1, raw: 'hybrid key pairs', prepare: async (world) => [world.request('POST', '/keys', { tenant: 'core', purpose: 'bench', alg: HYBRID })] },
  { name: 'create hybrid, disk', log: 'disk', isFlushed: true, connections: SINGLE, items: 1, raw: 'hybrid key pairs', prepare: async (world) => [world.request('POST', '/keys', { tenant: 'core', purpose: 'bench', alg: HYBRID })] },
  { name: 'rotate hybrid', connections: SINGLE, items: 1, raw: 'hybrid key pairs', prepare: (world) => rotates(world, HYBRID) },
  { name: 'rotate hybrid, disk', log: 'disk', isFlushed: true, connections: SINGLE, items: 1, raw: 'hybrid key pairs', prepare: (world) => rotates(world, HYBRID) },
];

/** The primitives that are measured for a row. */
export function rawsOf({ raw, isFlushed }: OperationRow): readonly RawName[] {
  return [...(raw === undefined ? [] : [raw]), ...(isFlushed ? ['flushed append' as const] : [])];
}

async function signs(world: World, alg: string): Promise<readonly string[]> {
  const kid = await world.sharedKey(alg);
  return times(VARIETY, () => world.request('POST', '/sign', signBody(kid)));
}

/** One request for each of the keys, in no order that the store knows; each was used before, so that it is unsealed. */
async function signsOfMany(world: World, alg: string): Promise<readonly string[]> {
  const lanes = await Promise.all(Array.from({ length: MADE_AT_ONCE }, () => times(Math.ceil(LIVE_KEYS / MADE_AT_ONCE), () => world.key(alg))));
  const kids = shuffled(lanes.flat().slice(0, LIVE_KEYS));
  for (let from = 0; from < kids.length; from += BATCH_ITEMS) await world.call('POST', '/sign/batch', { items: kids.slice(from, from + BATCH_ITEMS).map(signBody) });
  return kids.map((kid) => world.request('POST', '/sign', signBody(kid)));
}

async function signBatches(world: World, alg: string): Promise<readonly string[]> {
  const kid = await world.sharedKey(alg);
  return times(VARIETY, () => world.request('POST', '/sign/batch', { items: Array.from({ length: BATCH_ITEMS }, () => signBody(kid)) }));
}

async function verifies(world: World, alg: string): Promise<readonly string[]> {
  return (await signedItems(world, alg)).map((item) => world.request('POST', '/verify', item));
}

async function verifyBatches(world: World, alg: string): Promise<readonly string[]> {
  const items = await signedItems(world, alg);
  return [world.request('POST', '/verify/batch', { items: items.slice(0, BATCH_ITEMS) })];
}

/** Bodies of `POST /verify` whose signatures are good. */
async function signedItems(world: World, alg: string): Promise<readonly object[]> {
  const kid = await world.sharedKey(alg);
  const items = Array.from({ length: VARIETY }, () => signBody(kid));
  const answer: { items: { sigs: object[] }[] } = await world.call('POST', '/sign/batch', { items });
  return items.map(({ kid, payload_b3 }, i) => ({ kid, payload_b3, sigs: answer.items[i]?.sigs }));
}

async function wraps(world: World, alg: string): Promise<readonly string[]> {
  return [world.request('POST', '/wrap', { kid: await world.sharedKey(alg), size: 32 })];
}

async function unwraps(world: World, alg: string, path: string): Promise<readonly string[]> {
  const kid = await world.sharedKey(alg);
  const wrapped = await times(VARIETY, () => world.call('POST', '/wrap', { kid, size: 32 }));
  return wrapped.map(({ wrapped_b64 }) => world.request('POST', path, { wrapped_b64 }));
}

async function rotates(world: World, alg: string): Promise<readonly string[]> {
  const kids = await times(ROTATED_KEYS, () => world.key(alg));
  return kids.map((kid) => world.request('POST', `/keys/${pathOf(kid)}/rotate`, {}));
}
