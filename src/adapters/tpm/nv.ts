/** A counter in a TPM's memory that only goes up, and what says whose it is (docs/formats/tpm.md). */
import type { Handle } from './commands.ts';
import type { Tpm, TpmUse } from './tpm.ts';
import { fixedHandle, OWNER, SHA256 } from './commands.ts';
import { TpmFault } from './faults.ts';
import { readerOf, sized, u16, u32 } from './marshal.ts';
import { nameOf } from './public-areas.ts';
import { DECRYPT } from './sessions.ts';

/** A counter: as many steps as were made since it was. */
export interface TpmCounter {
  /** Undefined where there is none, or one that was not made to its end. Throws `TpmFault` of kind `pin` where it is of another log. */
  read(): Promise<number | undefined>;
  /** Makes it, at 0; needs the owner's password where there is one. What a crash left of one is taken away. */
  make(): Promise<void>;
  /** One up; the value behind it. */
  increment(): Promise<number>;
}

export interface TpmCounterDeps {
  readonly tpm: Tpm;
  /** `backends.tpm.nv_index`; the one behind it says where the counter started, as a TPM starts none at 0. */
  readonly index: number;
  /** 32 bytes that only the log's owner has: what it takes to read and to count. */
  readonly authValue: Buffer;
}

/** TPMA_NV (Part 2 §13.4). */
const AUTH_WRITE = 0x4;
const COUNTER = 0x10;
const WRITE_LOCKED = 0x800;
const WRITE_DEFINE = 0x2000;
const AUTH_READ = 0x4_0000;
const NO_DA = 0x200_0000;
const WRITTEN = 0x2000_0000;
const OF_COUNTER = AUTH_WRITE | AUTH_READ | NO_DA | COUNTER;
const OF_START = AUTH_WRITE | AUTH_READ | NO_DA | WRITE_DEFINE;
const VALUE_BYTES = 8;

interface NvIndex extends Handle {
  readonly attributes: number;
}

export function createTpmCounter({ tpm, index, authValue }: TpmCounterDeps): TpmCounter {
  const startIndex = index + 1;

  const session = (use: TpmUse) => use.startSession('hmac', { authValue });

  const readValue = async (use: TpmUse, of: NvIndex): Promise<bigint> => {
    const { parameters } = await use.run('NV_Read', { handles: [of, of], session: await session(use), parameters: Buffer.concat([u16(VALUE_BYTES), u16(0)]) });
    return readerOf(parameters.sized()).u64();
  };

  /** Where the counter was when it was made; undefined where that was never written. */
  const readBoth = async (use: TpmUse): Promise<number | undefined> => {
    const [counter, start] = [await find(use, index), await find(use, startIndex)];
    if (counter === undefined || start === undefined) return undefined;
    if ((counter.attributes & ~WRITTEN) >>> 0 !== OF_COUNTER || (start.attributes & ~(WRITTEN | WRITE_LOCKED)) >>> 0 !== OF_START) throw new TpmFault('other', `the NV index 0x${index.toString(16)} was not made by ron-kms init: name another with backends.tpm.nv_index`);
    if ((counter.attributes & WRITTEN) === 0 || (start.attributes & WRITTEN) === 0 || (start.attributes & WRITE_LOCKED) === 0) return undefined;
    return Number(await readValue(use, counter) - await readValue(use, start));
  };

  const increment = async (use: TpmUse, counter: NvIndex): Promise<void> => {
    await use.run('NV_Increment', { handles: [counter, counter], session: await session(use) });
  };

  return {
    read: () => tpm.use(readBoth),
    make: () => tpm.use(async (use) => {
      if (await readBoth(use) !== undefined) throw new TpmFault('refused', 'the counter is there already');
      for (const at of [index, startIndex]) {
        await undefineIfThere(use, at);
        await define(use, at, at === index ? OF_COUNTER : OF_START, authValue);
      }
      // Its first step gives it a value, over that of every counter there ever was.
      await increment(use, await needed(use, index));
      const from = await readValue(use, await needed(use, index));
      const start = await needed(use, startIndex);
      await use.run('NV_Write', { handles: [start, start], session: await session(use), parameters: Buffer.concat([sized(bytesOf(from)), u16(0)]) });
      // From here on nobody changes it: who takes both away starts a counter that is higher, and of an auth value that is not known.
      const written = await needed(use, startIndex);
      await use.run('NV_WriteLock', { handles: [written, written], session: await session(use) });
    }),
    increment: () => tpm.use(async (use) => {
      await increment(use, await needed(use, index));
      const value = await readBoth(use);
      if (value === undefined) throw new TpmFault('missing', 'the counter is not there any more');
      return value;
    }),
  };
}

/** Takes the counter away, of whatever log it is; needs the owner's password where there is one. False where there is none. */
export function removeTpmCounter(tpm: Tpm, index: number): Promise<boolean> {
  return tpm.use(async (use) => {
    let isFound = false;
    for (const at of [index, index + 1]) isFound = await undefineIfThere(use, at) || isFound;
    return isFound;
  });
}

async function undefineIfThere(use: TpmUse, at: number): Promise<boolean> {
  const found = await find(use, at);
  if (found !== undefined) await use.run('NV_UndefineSpace', { handles: [fixedHandle(OWNER), found], session: await use.owner() });
  return found !== undefined;
}

/** The index as it is now: its name changes with what is written, and a session binds to it. */
async function find(use: TpmUse, index: number): Promise<NvIndex | undefined> {
  try {
    const { parameters } = await use.run('NV_ReadPublic', { handles: [fixedHandle(index)] });
    const area = parameters.sized();
    const reader = readerOf(area);
    if (reader.u32() !== index || reader.u16() !== SHA256) throw new TpmFault('answer', 'the TPM told of another NV index');
    return { handle: index, name: nameOf(area), attributes: reader.u32() };
  } catch (fault) {
    if (fault instanceof TpmFault && fault.kind === 'missing') return undefined;
    throw fault;
  }
}

async function needed(use: TpmUse, at: number): Promise<NvIndex> {
  const found = await find(use, at);
  if (found === undefined) throw new TpmFault('missing', `the TPM has no NV index 0x${at.toString(16)}`);
  return found;
}

/** The auth value goes there encrypted. */
async function define(use: TpmUse, index: number, attributes: number, authValue: Buffer): Promise<void> {
  const area = Buffer.concat([u32(index), u16(SHA256), u32(attributes), sized(Buffer.alloc(0)), u16(VALUE_BYTES)]);
  await use.run('NV_DefineSpace', { handles: [fixedHandle(OWNER)], session: await use.owner(DECRYPT), parameters: Buffer.concat([sized(authValue), sized(area)]) });
}

function bytesOf(value: bigint): Buffer {
  const bytes = Buffer.alloc(VALUE_BYTES);
  bytes.writeBigUInt64BE(value);
  return bytes;
}
