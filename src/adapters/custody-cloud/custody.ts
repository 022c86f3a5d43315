import type { KeySpec } from '../../core/algorithm/table.ts';
import type { VersionRecord } from '../../core/key/record.ts';
import type { FileCustody } from '../custody-file/custody.ts';
import type { CloudKms } from '../cloud-kms/cloud-kms.ts';
import { KmsError } from '../../core/errors.ts';
import { BackendGone } from '../../ports/custody.ts';
import { CloudFault, PLAINTEXT_BYTES_MAX } from '../cloud-kms/cloud-kms.ts';

export interface CloudCustodyDeps {
  readonly kms: CloudKms;
  /** Holds every key, under a root key that the same service sealed. */
  readonly file: FileCustody;
  readonly nowMs: () => number;
}

/** A wrap or unwrap needs the key service each time; or the key was sealed by it, and works here. */
const WRAPPING_CLASS = 'cloud';
const SEALED_CLASS = 'cloud-sealed';
/** A probe costs money there: what it answered lately is asked no more. */
const PROBE_AFTER_MS = 60_000;
const PROBE_CONTEXT = 'ron-kms probe';

/**
 * Custody of files, with what AEAD keys seal sealed once more by a key service: neither who has the disk and its root key opens it, nor who may
 * use the key there. Destroying a version still destroys what it wrapped.
 */
export function createCloudCustody({ kms, file, nowMs }: CloudCustodyDeps): FileCustody {
  let answeredMs = -Infinity;

  const asked = async <T>(ask: () => Promise<T>): Promise<T> => {
    try {
      const answer = await ask();
      answeredMs = nowMs();
      return answer;
    } catch (fault) {
      answeredMs = -Infinity;
      if (!(fault instanceof CloudFault)) throw fault;
      if (fault.kind === 'gone') throw new BackendGone(fault.message, { cause: fault });
      throw new KmsError('StoreUnavailable', {
        hint: fault.kind === 'busy' ? 'the key service elsewhere has too many calls' : 'the key service elsewhere refuses this service: its operator has to look',
        retryAfterS: fault.retryAfterS ?? (fault.kind === 'busy' ? 1 : 30), cause: fault,
      });
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
      if (sealed.length > PLAINTEXT_BYTES_MAX) throw new KmsError('Unsupported', { hint: `the key service elsewhere takes up to ${PLAINTEXT_BYTES_MAX} bytes, and with its tag this is more: wrap a shorter key` });
      return asked(() => kms.encrypt(sealed, contextOf(version)));
    },
    async open(version, spec: KeySpec, envelope, aad) {
      if (spec.kind !== 'aead') return file.open(version, spec, envelope, aad);
      const ciphertext = await asked(() => kms.decrypt(envelope.ciphertext, contextOf(version)));
      return ciphertext && file.open(version, spec, { ...envelope, ciphertext }, aad);
    },
    async probe() {
      if (nowMs() - answeredMs < PROBE_AFTER_MS) return;
      await asked(() => kms.encrypt(Buffer.alloc(1), PROBE_CONTEXT));
    },
  };
}

function contextOf({ kid }: Pick<VersionRecord, 'kid'>): string {
  return `ron-kms ${kid}`;
}
