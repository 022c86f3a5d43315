import type { Anchor } from '../../ports/anchor.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { KmsError } from '../../core/errors.ts';
import { TpmFault } from '../tpm/faults.ts';
import { createTpmCounter } from '../tpm/nv.ts';

export interface TpmAnchorDeps {
  readonly tpm: Tpm;
  /** `backends.tpm.nv_index`. */
  readonly index: number;
  /** Under a key that only the log's signer holds. */
  readonly mac: (bytes: Buffer) => Buffer;
}

/** Keeps what is derived here apart from all else under the same key. */
const AUTH_CONTEXT = Buffer.from('ron-kms/anchor-tpm/v1\n');

/** A counter in a TPM's memory: no disk has it, and nothing sets it back (docs/formats/anchor.md). */
export function createTpmAnchor({ tpm, index, mac }: TpmAnchorDeps): Anchor & { /** Ahead of the first advance. */ make(): Promise<void> } {
  const counter = createTpmCounter({ tpm, index, authValue: mac(AUTH_CONTEXT) });
  return {
    kind: 'tpm',
    make: counter.make,
    read: () => reaching(async () => {
      const value = await counter.read();
      return value === undefined ? undefined : { value };
    }),
    advance: (value) => reaching(async (): Promise<Awaited<ReturnType<Anchor['advance']>>> => {
      const held = await counter.read();
      if (held === undefined) await counter.make();
      if (value !== (held ?? 0) + 1) return { fault: `the TPM's counter stands at ${held ?? 0} and was to go to ${value}: it goes up by one, and never back` };
      const reached = await counter.increment();
      return reached === value ? {} : { fault: `the TPM's counter went to ${reached} and not to ${value}: somebody else counts with it` };
    }),
  };
}

async function reaching<T>(work: () => Promise<T>): Promise<T | { readonly fault: string }> {
  try {
    return await work();
  } catch (fault) {
    if (fault instanceof TpmFault && fault.kind === 'pin') return { fault: 'the counter of the TPM is of another log' };
    if (fault instanceof TpmFault && (fault.kind === 'other' || fault.kind === 'answer')) return { fault: fault.message };
    throw new KmsError('AuditUnavailable', { hint: 'the anchor cannot be reached', cause: fault });
  }
}
