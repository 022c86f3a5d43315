import type { Secret } from '../../core/secret.ts';
import type { LogKey } from '../../ports/audit-reader.ts';
import type { LogKeysDetail } from '../../ports/log-signer.ts';
import type { DurableFile } from '../files/durable-file.ts';
import type { Sealed } from '../root-key/sealing.ts';
import type { LockedMemory } from '../system/locked-memory.ts';
import { timingSafeEqual } from 'node:crypto';
import { canonicalJson } from '../../core/canonical-json.ts';
import { parseStrictJson } from '../../core/strict-json.ts';
import { deriveKey, macUnder, open, seal } from '../root-key/sealing.ts';

/** A log key as it lies on disk; without its seed once it signs no more. */
export interface StoredKey extends Partial<Sealed> {
  readonly vkey: string;
  readonly alg: LogKey['alg'];
}

/** The keys that were made together. */
export interface StoredSet {
  /** 0, 1, 2 … in the order they came. */
  readonly position: number;
  readonly reason: LogKeysDetail['reason'];
  readonly made_at: string;
  readonly from_index: number;
  /** When they stop to sign, once that is known. */
  readonly until?: string;
  /** Set when they stopped. */
  readonly until_index?: number;
  /** The last note that the set before and this one signed. */
  readonly transition_checkpoint?: string;
  readonly keys: readonly StoredKey[];
}

/** The next set; `from_index` is the first place where its entry may stand. */
interface StoredPrepared {
  readonly set: StoredSet;
  /** When the sets before it stop to sign. */
  readonly until: string;
}

export interface LogKeysState {
  readonly sets: readonly StoredSet[];
  readonly prepared?: StoredPrepared;
}

/** Where log keys lie when they are not in use. */
export interface LogKeysVault {
  seal(seed: Secret, position: number, vkey: string): Sealed;
  /** Throws when the seed is not there or is not of this place. */
  open(key: StoredKey, position: number): Secret;
  /** Durable when it returns. */
  save(state: LogKeysState): Promise<void>;
  /** Throws, with what is wrong, on anything that `save` did not write for this log. */
  load(): Promise<LogKeysState>;
  mac(bytes: Uint8Array): Buffer;
}

interface LogKeysFile extends LogKeysState {
  readonly v: 1;
  readonly instance_id: string;
}

export interface VaultDeps {
  readonly file: DurableFile;
  readonly instanceId: string;
  readonly rootKey: Secret;
  readonly memory: LockedMemory;
}

const VERSION = 1;
const INFO = { seeds: 'ron-kms::ron-kms::audit::log-keys', file: 'ron-kms::ron-kms::audit::log-keys-file', state: 'ron-kms::ron-kms::audit::state' } as const;

/**
 * `log-keys.json` below `audit.dir`: every seed sealed to its instance, position and public key, and the whole
 * file under an HMAC, so that nothing in it can be changed, dropped or taken from another log.
 */
export function createVault({ file, instanceId, rootKey, memory }: VaultDeps): LogKeysVault {
  const seedKey = deriveKey(rootKey, { info: INFO.seeds, instanceId }, memory);
  const fileKey = deriveKey(rootKey, { info: INFO.file, instanceId }, memory);
  const stateKey = deriveKey(rootKey, { info: INFO.state, instanceId }, memory);
  const aadOf = (position: number, vkey: string): string => `ron-kms/log-keys/v1\n${canonicalJson({ instance_id: instanceId, position, vkey })}`;
  const macOf = (content: object): Buffer => macUnder(fileKey, Buffer.from(canonicalJson(content), 'utf8'));

  return {
    seal: (seed, position, vkey) => seal(seedKey, seed, aadOf(position, vkey)),
    open({ vkey, nonce_b64, sealed_b64 }, position) {
      const seed = nonce_b64 === undefined || sealed_b64 === undefined ? undefined : open(seedKey, { nonce_b64, sealed_b64 }, aadOf(position, vkey), memory);
      if (seed === undefined) throw new Error('a key in log-keys.json does not open: it was moved from another place or another log');
      return seed;
    },
    async save(state) {
      const content: LogKeysFile = { v: VERSION, instance_id: instanceId, ...state };
      await file.replace(`${JSON.stringify({ ...content, mac_b64: macOf(content).toString('base64') })}\n`);
    },
    mac: (bytes) => macUnder(stateKey, bytes),
    async load() {
      const { mac_b64: mac, ...content } = objectIn(await file.read().catch((fault: unknown) => {
        throw new Error('log-keys.json cannot be read from audit.dir: without it the log cannot be signed', { cause: fault });
      }));
      const { v, instance_id: instance } = content;
      if (v !== VERSION || typeof instance !== 'string' || typeof mac !== 'string') throw new Error('log-keys.json in audit.dir is not one of this version: it was changed, or cut short');
      if (instance !== instanceId) throw new Error(`log-keys.json holds the keys of another log, ron-kms/${instance}`);
      // As text: of its one spelling in base64, too, no bit may differ.
      const given = Buffer.from(mac);
      const expected = Buffer.from(macOf(content).toString('base64'));
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw new Error('log-keys.json does not authenticate: it was changed, or the root key is not its own');
      // It authenticates, so what stands in it is what `save` wrote.
      return content as unknown as LogKeysFile;
    },
  };
}

function objectIn(bytes: Buffer): Record<string, unknown> {
  try {
    return { ...parseStrictJson(bytes) };
  } catch {
    return {};
  }
}
