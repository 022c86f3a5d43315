import type { KeySpec } from '../../core/algorithm/table.ts';
import type { VersionRecord } from '../../core/key/record.ts';
import type { FileCustody } from '../custody-file/custody.ts';
import type { CloudKms } from '../cloud-kms/cloud-kms.ts';
import type { Clock } from '../../ports/clock.ts';
import { createCircuit } from '../../core/circuit.ts';
import { isCiphertextLength } from '../../core/envelope/envelope.ts';
import { KmsError } from '../../core/errors.ts';
import { CloudFault, PLAINTEXT_BYTES_MAX } from '../cloud-kms/cloud-kms.ts';

export interface CloudCustodyDeps {
  readonly kms: CloudKms;
  /** Holds every key, under a root key that the same service sealed. */
  readonly file: FileCustody;
  readonly clock: Pick<Clock, 'monotonicNs'>;
  /** From 0 to below 1. */
  readonly chance: () => number;
}

export interface CloudCustody extends FileCustody {
  /** Since some calls came to nothing: what is refused meanwhile, in words. Undefined while the key service answers. */
  outage(): string | undefined;
}

/** A wrap or unwrap needs the key service each time; or the key was sealed by it, and works here. */
export const WRAPPING_CLASS = 'cloud';
export const SEALED_CLASS = 'cloud-sealed';
const CIRCUIT = { failuresMax: 3, firstWaitMs: 500, longestWaitMs: 15_000 };
const BUSY_RETRY_S = 1;
const REFUSED_RETRY_S = 30;

/**
 * Custody of files, with what AEAD keys seal sealed once more by a key service: neither who has the disk and its root key opens it, nor who may
 * use the key there. Destroying a version still destroys what it wrapped. What does not need the service goes on without it.
 */
export function createCloudCustody({ kms, file, clock, chance }: CloudCustodyDeps): CloudCustody {
  const circuit = createCircuit({ ...CIRCUIT, chance });

  /** Behind some calls without an answer, one at a time tries whether there is one again. */
  const asked = async <T>(ask: () => Promise<T>): Promise<T> => {
    const waitMs = circuit.enter(clock.monotonicNs());
    if (waitMs !== undefined) throw unavailable(NO_ANSWER, Math.ceil(waitMs / 1000) || 1);
    try {
      const answer = await ask();
      circuit.succeeded();
      return answer;
    } catch (fault) {
      // What is no answer of the service's, such as credentials that cannot be read, is none.
      if (!(fault instanceof CloudFault) || fault.kind === 'gone') {
        circuit.failed(clock.monotonicNs());
        throw unavailable(NO_ANSWER, 1, fault);
      }
      circuit.succeeded();
      const isBusy = fault.kind === 'busy';
      throw unavailable(isBusy ? 'the key service elsewhere has too many calls' : 'the key service elsewhere refuses this service: its operator has to look', fault.retryAfterS ?? (isBusy ? BUSY_RETRY_S : REFUSED_RETRY_S), fault);
    }
  };

  return {
    ...file,
    async generate(kid, spec) {
      const made = await file.generate(kid, spec);
      return { ...made, attestationClass: spec.kind === 'aead' ? WRAPPING_CLASS : SEALED_CLASS };
    },
    async sealAead(version, aead, nonce, aad, plaintext) {
      const sealed = await file.sealAead(version, aead, nonce, aad, plaintext);
      if (sealed.length > PLAINTEXT_BYTES_MAX) throw tooLong();
      const twice = await asked(() => kms.encrypt(sealed, contextOf(version)));
      // It grew there: what no envelope can carry is not given out as one.
      if (!isCiphertextLength(twice.length)) throw tooLong();
      return twice;
    },
    async open(version, spec: KeySpec, envelope, aad) {
      if (spec.kind !== 'aead') return file.open(version, spec, envelope, aad);
      const ciphertext = await asked(() => kms.decrypt(envelope.ciphertext, contextOf(version)));
      return ciphertext && file.open(version, spec, { ...envelope, ciphertext }, aad);
    },
    outage: () => (circuit.isClosed() ? undefined : `${kms.name} does not answer: wraps and unwraps of AEAD keys are refused until it does`),
  };
}

const NO_ANSWER = 'the key service elsewhere does not answer';

function tooLong(): KmsError {
  return new KmsError('Unsupported', { hint: 'with what the key service elsewhere adds to it this does not fit into an envelope: wrap a shorter key, 3,500 bytes at most' });
}

function unavailable(hint: string, retryAfterS: number, cause?: unknown): KmsError {
  return new KmsError('StoreUnavailable', { hint, retryAfterS, cause });
}

function contextOf({ kid }: Pick<VersionRecord, 'kid'>): string {
  return `ron-kms ${kid}`;
}
