/**
 * The primitives with nothing around them, in a process with the service's own flags: what the
 * operations could reach if HTTP, tokens, policy and log cost nothing.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createKemPrimitives } from '../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../src/adapters/crypto/public-key-cache.ts';
import { createPublicKeys } from '../src/adapters/crypto/public-keys.ts';
import { createSignaturePrimitives } from '../src/adapters/crypto/signatures.ts';
import { createLockedMemory } from '../src/adapters/system/locked-memory.ts';
import { AEAD_KEY_BYTES, AEAD_NONCE_BYTES, aeads, kems } from '../src/core/algorithm/table.ts';
import { aeadOpen, aeadSeal, hpkeOpen } from '../src/core/envelope/hpke.ts';
import { serveJobs } from './worker.ts';

export interface RawJob {
  readonly name: RawName;
  /** What writes to the disk, writes below it. */
  readonly directory: string;
  readonly warmUpMs: number;
  readonly ms: number;
}

export interface RawResult {
  readonly perSecond: number;
  readonly cpuUsPerOp: number;
}

/** Jobs in libuv's pool at once: as many as it has threads, which is more than it has cores here. */
const IN_POOL = 4;
const CACHED_KEYS = 16;
/** Between two looks at the clock. */
const AT_ONCE = 8;
const DATA_KEY_BYTES = 32;
const PAGE_BYTES = 4096;

const gate = createPoolGate(IN_POOL);
const publicKeyCache = createPublicKeyCache(CACHED_KEYS);
const signatures = createSignaturePrimitives({ memory: createLockedMemory(), gate, publicKeys: publicKeyCache });
const kemPrimitives = createKemPrimitives(publicKeyCache);
const publicKeys = createPublicKeys({ signatures, kems: kemPrimitives });

const digest = randomBytes(32);
const none = Buffer.alloc(0);
const plaintext = randomBytes(DATA_KEY_BYTES);
const header = randomBytes(96);

interface Raw {
  readonly inFlight: number;
  /** Prepares, and gives what is done over and over. */
  make(directory: string): Promise<Repeated> | Repeated;
}

interface Repeated {
  (): unknown;
  end?(): void;
}

const onOneThread = (make: Raw['make']): Raw => ({ inFlight: 1, make });
const inPool = (make: Raw['make']): Raw => ({ inFlight: IN_POOL, make });

const raws = {
  'Ed25519 sign': onOneThread(() => {
    const signer = signerOf('Ed25519');
    return () => signer.sign(digest, none);
  }),
  'Ed25519 verify': onOneThread(() => verifying('Ed25519')),
  'ML-DSA-65 sign': inPool(() => {
    const signer = signerOf('ML-DSA-65');
    return () => signer.sign(digest, none);
  }),
  'ML-DSA-65 verify': inPool(() => verifying('ML-DSA-65')),
  'composite sign': inPool(() => {
    const signer = signerOf('MLDSA65-Ed25519-SHA512');
    return () => signer.sign(digest, none);
  }),
  'X-Wing seal': onOneThread(() => xWing().seal),
  'X-Wing open': onOneThread(() => xWing().open),
  'X-Wing open, seal': onOneThread(() => {
    const { seal, open } = xWing();
    return () => [open(), seal()];
  }),
  'AES-256-GCM seal': onOneThread(() => aesGcm().seal),
  'AES-256-GCM open': onOneThread(() => aesGcm().open),
  'hybrid key pairs': onOneThread(() => () => [signerOf('Ed25519'), signerOf('ML-DSA-65')].forEach((signer) => signer.destroy())),
  'flushed append': onOneThread(flushedAppend),
} as const satisfies Record<string, Raw>;

export type RawName = keyof typeof raws;

function signerOf(scheme: keyof typeof signatures) {
  return signatures[scheme].signerFromSeed(randomBytes(signatures[scheme].seedBytes));
}

async function verifying(scheme: keyof typeof signatures): Promise<() => unknown> {
  const signer = signerOf(scheme);
  const signature = await signer.sign(digest, none);
  return () => signatures[scheme].verify(signer.publicBytes, digest, none, signature);
}

function xWing() {
  const kem = kems['X-Wing'];
  const aead = aeads['ChaCha20-Poly1305'];
  const decapsulator = kemPrimitives[kem.name].fromSeed(randomBytes(kemPrimitives[kem.name].seedBytes));
  const part = { alg: kem.wireAlg, bytes: decapsulator.publicBytes };
  const seal = () => publicKeys.seal(kem, aead, part, header, none, plaintext);
  const sealed = seal();
  const open = () => {
    const sharedSecret = decapsulator.decapsulate(sealed.enc);
    const opened = sharedSecret && hpkeOpen(kem, aead, sharedSecret, header, none, sealed.ciphertext);
    if (opened === undefined) throw new Error('it did not open');
    return opened;
  };
  return { seal, open };
}

function aesGcm() {
  const aead = aeads['AES-256-GCM'];
  const key = randomBytes(AEAD_KEY_BYTES);
  const nonce = randomBytes(AEAD_NONCE_BYTES);
  const seal = () => aeadSeal(aead, key, nonce, header, plaintext);
  const sealed = seal();
  return { seal, open: () => aeadOpen(aead, key, nonce, header, sealed) };
}

/** A page behind the others, on the disk when it returns: what a group of mutations cannot do without. */
function flushedAppend(parent: string): Repeated {
  const directory = mkdtempSync(join(parent, 'ron-kms-bench-'));
  const fd = openSync(join(directory, 'appended'), 'wx');
  const page = randomBytes(PAGE_BYTES);
  const append = (): void => {
    writeSync(fd, page);
    fdatasyncSync(fd);
  };
  const end = (): void => {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  };
  return Object.assign(append, { end });
}

/** As many as fit until the time is over; the clock is read seldom, as it costs as much as the cheap ones. */
async function repeat(once: () => unknown, inFlight: number, ms: number): Promise<number> {
  const endsAt = performance.now() + ms;
  let count = 0;
  if (inFlight === 1) {
    while (performance.now() < endsAt) {
      for (let i = 0; i < AT_ONCE; i++) once();
      count += AT_ONCE;
    }
    return count;
  }
  await Promise.all(Array.from({ length: inFlight }, async () => {
    while (performance.now() < endsAt) {
      await once();
      count++;
    }
  }));
  return count;
}

serveJobs(async ({ name, directory, warmUpMs, ms }: RawJob): Promise<RawResult> => {
  const { inFlight, make }: Raw = raws[name];
  const once = await make(directory);
  await repeat(once, inFlight, warmUpMs);
  const startedAt = performance.now();
  const cpuBefore = process.cpuUsage();
  const count = await repeat(once, inFlight, ms);
  const cpu = process.cpuUsage(cpuBefore);
  const seconds = (performance.now() - startedAt) / 1000;
  once.end?.();
  return { perSecond: count / seconds, cpuUsPerOp: (cpu.user + cpu.system) / count };
});
