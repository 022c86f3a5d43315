import type { AttestationKey, HeldElsewhere } from '../../ports/attestor.ts';
import type { Secret } from '../../core/secret.ts';
import type { LogKey } from '../../ports/audit-reader.ts';
import type { LogKeysDetail } from '../../ports/log-signer.ts';
import type { DurableFile } from '../files/durable-file.ts';
import type { RootKeys } from '../root-key/root-keys.ts';
import type { Sealed } from '../root-key/sealing.ts';
import type { LockedMemory } from '../system/locked-memory.ts';
import { timingSafeEqual } from 'node:crypto';
import { canonicalJson } from '../../core/canonical-json.ts';
import { parseStrictJson } from '../../core/strict-json.ts';
import { FIRST_EPOCH } from '../root-key/root-keys.ts';
import { macUnder, open, seal } from '../root-key/sealing.ts';

/** A log key as it lies on disk; without its seed once it signs no more. */
export interface StoredKey extends Partial<Sealed> {
  readonly vkey: string;
  readonly alg: LogKey['alg'];
  /** Where a device has it, instead of its seed. */
  readonly held?: HeldElsewhere;
}

/** The key that says where others are held, and what it said of the log keys that came with it. */
export interface StoredAttestation extends AttestationKey {
  readonly class: string;
  readonly evidence_b64: string;
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
  /** Where a device gives evidence. */
  readonly attestation?: StoredAttestation;
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
  /** Moves every seed, and the key of `mac`, under the newest root key; durable when it returns. */
  move(state: LogKeysState): Promise<LogKeysState>;
}

interface LogKeysFile extends LogKeysState {
  readonly v: 1;
  readonly instance_id: string;
  /** Of the root key that it lies under; left out: of the first. */
  readonly epoch?: string;
  /** The key of the MACs outside of this file, once it is no longer the one that the root key gives. */
  readonly state_key?: Sealed;
}

export interface VaultDeps {
  readonly file: DurableFile;
  readonly instanceId: string;
  readonly rootKeys: RootKeys;
  readonly memory: LockedMemory;
}

const VERSION = 1;
const INFO = { seeds: 'ron-kms::ron-kms::audit::log-keys', file: 'ron-kms::ron-kms::audit::log-keys-file', state: 'ron-kms::ron-kms::audit::state' } as const;

/**
 * `log-keys.json` below `audit.dir`: every seed sealed to its instance, position and public key, and the whole
 * file under an HMAC, so that nothing in it can be changed, dropped or taken from another log.
 */
export function createVault({ file, instanceId, rootKeys, memory }: VaultDeps): LogKeysVault {
  const aadOf = (position: number, vkey: string): string => `ron-kms/log-keys/v1\n${canonicalJson({ instance_id: instanceId, position, vkey })}`;
  const stateAad = `ron-kms/log-keys/v1\n${canonicalJson({ instance_id: instanceId, key: 'state' })}`;

  const keysOf = (epoch: string): EpochKeys => {
    const [seeds, content, state] = [INFO.seeds, INFO.file, INFO.state].map((info) => rootKeys.derive(epoch, info));
    if (seeds === undefined || content === undefined || state === undefined) throw new Error('log-keys.json lies under a root key that is not there');
    return { epoch, seeds, content, state };
  };
  let keys = keysOf(rootKeys.current());
  /** As it lies in the file, where it does. */
  let sealedStateKey: Sealed | undefined;

  const write = async (state: LogKeysState, under: EpochKeys, stateKey: Sealed | undefined): Promise<void> => {
    const { sets, prepared } = state;
    const content: LogKeysFile = {
      v: VERSION, instance_id: instanceId, ...(under.epoch !== FIRST_EPOCH && { epoch: under.epoch }), ...(stateKey && { state_key: stateKey }), sets, ...(prepared && { prepared }),
    };
    await file.replace(`${JSON.stringify({ ...content, mac_b64: macOf(content, under).toString('base64') })}\n`);
  };

  const openSeed = ({ vkey, nonce_b64, sealed_b64 }: StoredKey, position: number): Secret => {
    const seed = nonce_b64 === undefined || sealed_b64 === undefined ? undefined : open(keys.seeds, { nonce_b64, sealed_b64 }, aadOf(position, vkey), memory);
    if (seed === undefined) throw new Error('a key in log-keys.json does not open: it was moved from another place or another log');
    return seed;
  };

  return {
    seal: (seed, position, vkey) => seal(keys.seeds, seed, aadOf(position, vkey)),
    open: openSeed,
    save: (state) => write(state, keys, sealedStateKey),
    mac: (bytes) => macUnder(keys.state, bytes),

    async load() {
      const { mac_b64: mac, ...content } = objectIn(await file.read().catch((fault: unknown) => {
        throw new Error('log-keys.json cannot be read from audit.dir: without it the log cannot be signed', { cause: fault });
      }));
      const { v, instance_id: instance, epoch = FIRST_EPOCH } = content;
      if (v !== VERSION || typeof instance !== 'string' || typeof mac !== 'string' || typeof epoch !== 'string') throw new Error('log-keys.json in audit.dir is not one of this version: it was changed, or cut short');
      if (instance !== instanceId) throw new Error(`log-keys.json holds the keys of another log, ron-kms/${instance}`);
      const own = keysOf(epoch);
      // As text: of its one spelling in base64, too, no bit may differ.
      const given = Buffer.from(mac);
      const expected = Buffer.from(macOf(content, own).toString('base64'));
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw new Error('log-keys.json does not authenticate: it was changed, or the root key is not its own');
      // It authenticates, so what stands in it is what `write` wrote.
      const { sets, prepared, state_key: stateKey } = content as unknown as LogKeysFile;
      const state = stateKey && open(own.seeds, stateKey, stateAad, memory);
      if (stateKey !== undefined && state === undefined) throw new Error('a key in log-keys.json does not open: it was moved from another log');
      destroyAll(keys);
      if (state !== undefined) own.state.destroy();
      keys = { ...own, state: state ?? own.state };
      sealedStateKey = stateKey;
      return { sets, ...(prepared && { prepared }) };
    },

    async move(state) {
      if (keys.epoch === rootKeys.current()) return state;
      const derived = keysOf(rootKeys.current());
      // What it authenticates elsewhere stays as it is.
      derived.state.destroy();
      const next = { ...derived, state: keys.state };
      const moved = (set: StoredSet): StoredSet => ({
        ...set,
        keys: set.keys.map((key) => {
          if (key.sealed_b64 === undefined) return key;
          const seed = openSeed(key, set.position);
          const resealed = seal(next.seeds, seed, aadOf(set.position, key.vkey));
          seed.destroy();
          return { ...key, ...resealed };
        }),
      });
      const { sets, prepared } = state;
      const under: LogKeysState = { sets: sets.map(moved), ...(prepared && { prepared: { ...prepared, set: moved(prepared.set) } }) };
      const stateKey = seal(next.seeds, next.state, stateAad);
      await write(under, next, stateKey);
      for (const old of [keys.seeds, keys.content]) old.destroy();
      keys = next;
      sealedStateKey = stateKey;
      return under;
    },
  };
}

/** The keys that a root key gives for the log. */
interface EpochKeys {
  readonly epoch: string;
  readonly seeds: Secret;
  readonly content: Secret;
  readonly state: Secret;
}

function destroyAll({ seeds, content, state }: EpochKeys): void {
  for (const key of [seeds, content, state]) key.destroy();
}

function macOf(content: object, { content: key }: EpochKeys): Buffer {
  return macUnder(key, Buffer.from(canonicalJson(content), 'utf8'));
}

function objectIn(bytes: Buffer): Record<string, unknown> {
  try {
    return { ...parseStrictJson(bytes) };
  } catch {
    return {};
  }
}
