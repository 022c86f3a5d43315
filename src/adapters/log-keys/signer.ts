import type { Checkpoint } from '../../../client/src/log/checkpoint.ts';
import type { LogKeysDetail, LogSigner } from '../../ports/log-signer.ts';
import type { HeldKey, KeyPairDeps } from './key-pair.ts';
import type { LogKeysState, LogKeysVault, StoredAttestation, StoredKey, StoredSet } from './vault.ts';
import type { AttestationKey, Attestor, HeldElsewhere, LogDevices, LogKeyHolder } from '../../ports/attestor.ts';
import type { EvidenceStatement } from '../../../client/src/log/evidence.ts';
import assert from 'node:assert';
import { randomBytes } from 'node:crypto';
import { formatCheckpoint, parseCheckpoint } from '../../../client/src/log/checkpoint.ts';
import { parseNote } from '../../../client/src/log/note.ts';
import { EVIDENCE_CONTEXT } from '../../../client/src/log/evidence.ts';
import { canonicalJson } from '../../core/canonical-json.ts';
import { formatVkey, parseVkey } from '../../../client/src/log/vkey.ts';
import { KmsError } from '../../core/errors.ts';
import { formatRfc3339, parseRfc3339 } from '../../core/time.ts';
import { announcementSignatures, keyElsewhere, logKeyKinds, makeKey, openKey, signatureLines } from './key-pair.ts';

export interface SignerDeps extends KeyPairDeps, LogDevices {
  readonly vault: LogKeysVault;
  readonly origin: string;
  /** `audit.key_overlap`. */
  readonly keyOverlapMs: number;
  /** Nothing is to be signed: what is held elsewhere need not be there. */
  readonly isLookingOnly?: boolean | undefined;
}

/** Each set adds two lines to every note, and notes are kept small enough for any witness. */
const SIGNING_SETS_MAX = 4;
const NAME_BYTES = 4;
const NONCE_BYTES = 32;

/** A signer for keys that the vault holds. What is written is written before it counts. */
export function createLogSigner(deps: SignerDeps, opened: LogKeysState): LogSigner {
  const { vault, origin, keyOverlapMs } = deps;
  const heldBySet = new Map<string, readonly HeldKey[]>();
  let state = opened;
  /** The last note that all of more than one set signed. */
  let overlapNote = '';

  for (const set of setsInUse(opened)) heldBySet.set(nameOf(set), openSet(set, deps));

  const save = async (next: LogKeysState): Promise<void> => {
    await vault.save(next).catch((fault: unknown) => {
      throw new KmsError('AuditUnavailable', { hint: 'log-keys.json in audit.dir cannot be written', cause: fault });
    });
    const before = state;
    state = next;
    const inUse = new Set(setsInUse(next).map(nameOf));
    for (const [name, keys] of heldBySet) {
      if (inUse.has(name)) continue;
      heldBySet.delete(name);
      for (const { signer } of keys) signer.destroy();
    }
    await dropElsewhere(before, next);
  };

  /** One that stays on its device is one that nobody uses any more. */
  const dropElsewhere = async (before: LogKeysState, next: LogKeysState): Promise<void> => {
    const staying = new Set(elsewhereIn(next).map(({ label }) => label));
    for (const held of elsewhereIn(before)) if (!staying.has(held.label)) await holderIn(deps)?.destroy(held).catch(() => undefined);
    const inUse = new Set(setsInUse(next).map(nameOf));
    for (const set of setsInUse(before)) if (!inUse.has(nameOf(set)) && set.attestation !== undefined) await attestorIn(deps, set.attestation)?.dropKey?.(set.attestation).catch(() => undefined);
  };

  const heldOf = (sets: readonly StoredSet[]): readonly HeldKey[] => sets.flatMap((set) => heldBySet.get(nameOf(set)) ?? []);

  /** All of the newest set, and of those before it what answers: a device that is left behind stops no checkpoint. */
  const linesOver = async (checkpoint: Checkpoint, sets: readonly StoredSet[], nowMs: number): Promise<string> => {
    const newest = new Set(heldOf(sets.slice(-1)));
    return signatureLines(heldOf(sets), checkpoint, nowMs, (key) => key.isElsewhere === true && !newest.has(key));
  };

  const prepareSet = async (reason: StoredSet['reason'], nowMs: number, treeSize: number): Promise<StoredSet> => {
    const before = state.prepared?.set;
    // Made before the compromise, they may be known to whoever it was.
    if (before !== undefined && reason !== 'compromised') return { ...before, reason };
    const { set, keys } = await makeSet({ position: state.sets.length, reason, nowMs, fromIndex: treeSize }, deps).catch((fault: unknown) => {
      throw fault instanceof KmsError ? fault : new KmsError('AuditUnavailable', { hint: 'the device that is to hold or attest the new log keys does not answer', cause: fault });
    });
    heldBySet.set(nameOf(set), keys);
    return set;
  };

  return {
    origin,
    keys: () => state.sets.flatMap((set) => set.keys.map(({ vkey, alg, held }) => ({
      vkey, alg, fromIndex: set.from_index,
      ...(set.until_index !== undefined && { untilIndex: set.until_index }),
      ...(set.transition_checkpoint !== undefined && { transitionCheckpoint: set.transition_checkpoint }),
      ...(held && { heldBy: held.shown }),
      ...(set.attestation && { attestation: { class: set.attestation.class, key: set.attestation.key, evidence: Buffer.from(set.attestation.evidence_b64, 'base64') } }),
    }))),

    async sign(checkpoint, nowMs) {
      assert(checkpoint.origin === origin, 'a log signs its own checkpoints only');
      const sets = state.sets.filter((set) => signs(set, nowMs));
      const note = `${formatCheckpoint(checkpoint)}\n${await linesOver(checkpoint, sets, nowMs)}`;
      if (sets.length > 1 && sets.every((set) => isSignedBy(note, set))) overlapNote = note;
      return note;
    },

    mac: (bytes) => vault.mac(bytes),

    async prepare(reason, nowMs, treeSize) {
      const signing = state.sets.filter((set) => signs(set, nowMs));
      if (signing.length >= SIGNING_SETS_MAX && reason !== 'compromised') throw new KmsError('KeyState', { hint: 'too many log keys sign at once: wait until the overlap of the oldest has ended' });
      const set = await prepareSet(reason, nowMs, treeSize);
      const until = formatRfc3339(nowMs + (reason === 'compromised' ? 0 : keyOverlapMs));
      await save({ sets: state.sets, prepared: { set, until } });
      const keys = set.keys.map(({ vkey }) => vkey);
      return { keys, reason, until, signatures: await announcementSignatures(heldOf(signing), origin, keys), ...(set.attestation && { attestation_key: set.attestation.key }) } satisfies LogKeysDetail;
    },

    prepared: () => state.prepared && { keys: state.prepared.set.keys.map(({ vkey }) => vkey), fromIndex: state.prepared.set.from_index },

    async activate(entryIndex) {
      assert(state.prepared !== undefined, 'keys are prepared before they are activated');
      const { set, until } = state.prepared;
      const before = state.sets.map((old) => (set.reason === 'compromised' ? stopped(old, entryIndex) : endingAt(old, until)));
      await save({ sets: [...before, { ...set, from_index: entryIndex }] });
    },

    async retire(nowMs, treeSize, transitionNote) {
      const due = state.sets.filter((set) => isHeld(set) && !signs(set, nowMs));
      if (due.length === 0) return;
      const sets = [...state.sets];
      for (const old of due) {
        const next = sets[old.position + 1];
        const note = [transitionNote, overlapNote].find((one) => next !== undefined && isSignedBy(one, old) && isSignedBy(one, next));
        sets[old.position] = stopped(old, (note === undefined ? undefined : sizeOf(note)) ?? treeSize);
        if (next !== undefined && note !== undefined) sets[next.position] = { ...next, transition_checkpoint: note };
      }
      await save({ ...state, sets });
    },

    async move() {
      state = await vault.move(state);
    },

    /** Keys of before this device, or of one that was left behind, are due at once. */
    newestMs: () => (state.sets.at(-1)?.attestation?.class === deps.device?.attestor.backend ? parseRfc3339(state.sets.at(-1)?.made_at ?? '') ?? 0 : 0),

    attestationOf(keys) {
      const set = [...state.sets, ...(state.prepared === undefined ? [] : [state.prepared.set])].find((one) => String(one.keys.map(({ vkey }) => vkey)) === String(keys));
      return set?.attestation && { class: set.attestation.class, key: set.attestation.key, evidence: Buffer.from(set.attestation.evidence_b64, 'base64') };
    },

    async attest(claim) {
      const key = state.sets.at(-1)?.attestation;
      if (deps.device === undefined || key?.class !== deps.device.attestor.backend) throw new KmsError('AttestationMissing', { hint: 'no device here gives evidence, or the log has no attestation key of it yet' });
      const { attestor } = deps.device;
      const { subject } = claim;
      const device = await attestor.describe('kid' in subject ? { kid: subject.kid, attestationClass: claim.class } : undefined);
      return evidenceOf(attestor, key, { v: 1, origin, ...claim, device });
    },
  };
}

/** New keys of every kind, sealed to their place or held by the device, and what the device says of them. */
export async function makeSet(
  { position, reason, nowMs, fromIndex }: { readonly position: number; readonly reason: StoredSet['reason']; readonly nowMs: number; readonly fromIndex: number },
  { vault, origin, device, ...deps }: Omit<SignerDeps, 'keyOverlapMs'>,
): Promise<{ readonly set: StoredSet; readonly keys: readonly HeldKey[] }> {
  // Sets that came to nothing had the same position.
  const name = `${origin} ${position} ${randomBytes(NAME_BYTES).toString('hex')}`;
  const made = await Promise.all(logKeyKinds.map(async (kind): Promise<{ readonly key: HeldKey; readonly kept: StoredKey }> => {
    const holder = kind.alg === 'ed25519' ? device?.logKeys : undefined;
    if (holder === undefined) return makeKey(kind, origin, (seed, vkey): StoredKey => ({ vkey, alg: kind.alg, ...vault.seal(seed, position, vkey) }), deps);
    const { publicBytes, held } = await holder.make(name);
    const key = keyElsewhere(kind, origin, publicBytes, held, holder);
    return { key, kept: { vkey: formatVkey(key.vkey), alg: kind.alg, held } };
  }));
  const made_at = formatRfc3339(nowMs);
  const keys = made.map(({ kept }) => kept);
  const attestation = device && await attestSet(device.attestor, name, { origin, made_at, tree_size: fromIndex, subject: { log_keys: keys.map(({ vkey }) => vkey) } }).catch(async (fault: unknown) => {
    // Nobody would know of it.
    for (const { held } of keys) if (held !== undefined) await device.logKeys?.destroy(held).catch(() => undefined);
    throw fault;
  });
  return { set: { position, reason, made_at, from_index: fromIndex, keys, ...(attestation && { attestation }) }, keys: made.map(({ key }) => key) };
}

async function attestSet(attestor: Attestor, name: string, claim: Pick<EvidenceStatement, 'origin' | 'made_at' | 'tree_size' | 'subject'>): Promise<StoredAttestation> {
  const key = await attestor.makeKey(name);
  const evidence = await evidenceOf(attestor, key, { v: 1, class: attestor.backend, nonce_b64: randomBytes(NONCE_BYTES).toString('base64'), ...claim, device: await attestor.describe() });
  return { ...key, class: attestor.backend, evidence_b64: evidence.toString('base64') };
}

async function evidenceOf(attestor: Attestor, key: AttestationKey, statement: EvidenceStatement): Promise<Buffer> {
  const bytes = Buffer.from(canonicalJson(statement));
  const proof = await attestor.prove(key, Buffer.concat([Buffer.from(EVIDENCE_CONTEXT), bytes]));
  return Buffer.from(canonicalJson({ v: 1, key: key.key, statement_b64: bytes.toString('base64'), proof }));
}

function elsewhereIn(state: LogKeysState): readonly HeldElsewhere[] {
  return setsInUse(state).flatMap(({ keys }) => keys.flatMap(({ held }) => held ?? []));
}

function holderIn({ device, former }: LogDevices): LogKeyHolder | undefined {
  return device?.logKeys ?? former?.logKeys;
}

function attestorIn({ device, former }: LogDevices, { class: backend }: StoredAttestation): Attestor | undefined {
  return [device, former].find((one) => one?.attestor.backend === backend)?.attestor;
}

function openSet({ position, keys, until }: StoredSet, { vault, origin, isLookingOnly = false, ...deps }: SignerDeps): readonly HeldKey[] {
  const holder = holderIn(deps);
  return keys.map((stored) => {
    const kind = logKeyKinds.find(({ alg }) => alg === stored.alg);
    assert(kind !== undefined, 'log keys are of a kind that is known');
    if (stored.held !== undefined) {
      const publicKey = parseVkey(stored.vkey)?.publicKey;
      if (publicKey === undefined || (holder === undefined && !isLookingOnly)) throw new Error(`a log key is held by a token (${stored.held.shown['label']})${until === undefined ? '' : ` and signs until ${until}`}: list "pkcs11" in service.read_backends, or set service.backend = "pkcs11"`);
      return keyElsewhere(kind, origin, publicKey, stored.held, holder);
    }
    const held = openKey(kind, origin, vault.open(stored, position), deps);
    assert(parseVkey(stored.vkey)?.publicKey.equals(held.vkey.publicKey) === true, 'a seed gives the public key it was sealed with');
    return held;
  });
}

function setsInUse({ sets, prepared }: LogKeysState): readonly StoredSet[] {
  return [...sets, ...(prepared === undefined ? [] : [prepared.set])].filter(isHeld);
}

/** Sets that never came to be used may have had the same position. */
function nameOf({ keys }: StoredSet): string {
  return keys.map(({ vkey }) => vkey).join(' ');
}

function isHeld(set: StoredSet): boolean {
  return set.until_index === undefined;
}

function signs(set: StoredSet, nowMs: number): boolean {
  return isHeld(set) && nowMs < untilMsOf(set);
}

function untilMsOf({ until }: StoredSet): number {
  return until === undefined ? Infinity : parseRfc3339(until) ?? 0;
}

/** The set with an end, or with the earlier one that it has already. */
function endingAt(set: StoredSet, until: string): StoredSet {
  return untilMsOf(set) <= (parseRfc3339(until) ?? 0) ? set : { ...set, until };
}

/** The set without its seeds: its public keys are all that stays. */
function stopped(set: StoredSet, untilIndex: number): StoredSet {
  return isHeld(set) ? { ...set, until_index: untilIndex, keys: set.keys.map(({ vkey, alg, held }) => ({ vkey, alg, ...(held && { held }) })) } : set;
}

function isSignedBy(note: string, { keys }: StoredSet): boolean {
  const lines = parseNote(note)?.signatures ?? [];
  return keys.every(({ vkey }) => {
    const key = parseVkey(vkey);
    return lines.some(({ name, keyId }) => name === key?.name && keyId.equals(key.keyId));
  });
}

function sizeOf(note: string): number | undefined {
  return parseCheckpoint(parseNote(note)?.text ?? '')?.size;
}
