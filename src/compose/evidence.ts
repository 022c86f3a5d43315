import type { Log } from '../adapters/audit-log/log.ts';
import type { Settings } from '../config/keys.ts';
import type { LogDevices } from '../ports/attestor.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { LogSigner } from '../ports/log-signer.ts';
import type { Evidence, EvidenceConfig, EvidenceDeps } from '../service/evidence.ts';
import type { Devices } from './devices.ts';
import type { LiveConfig } from './live-config.ts';
import { createTokenLogDevice } from '../adapters/custody-pkcs11/attestor.ts';
import { createTpmAttestor } from '../adapters/tpm/attestor.ts';
import { createEvidence } from '../service/evidence.ts';

/** Classes that the device of a backend can speak for. */
const GIVEN: Readonly<Partial<Record<Settings['service.backend'], readonly string[]>>> = { pkcs11: ['pkcs11', 'pkcs11-wrapped'], tpm: ['tpm-sealed'] };

/** What gives evidence of the log's keys and perhaps holds one, and what did when it was the backend. Opens the token where it is either. */
export async function logDevicesOf(settings: Settings, devices: Devices): Promise<((mac: (bytes: Buffer) => Buffer) => LogDevices) | undefined> {
  const { 'service.amnesia': isAmnesiac, 'service.backend': backend, 'service.read_backends': readBackends = [] } = settings;
  if (isAmnesiac) return undefined;
  const token = [backend, ...readBackends].includes('pkcs11') ? createTokenLogDevice((await devices.token()).reviving) : undefined;
  if (backend === 'pkcs11') return () => ({ device: token });
  if (backend === 'tpm') return (mac) => ({ device: { attestor: createTpmAttestor({ tpm: devices.tpm(), pcrs: settings['backends.tpm.pcrs'], mac }) }, former: token });
  return () => ({ former: token });
}

interface OpenEvidenceDeps extends Pick<EvidenceDeps, 'clock' | 'random' | 'telemetry'> {
  readonly live: LiveConfig;
  readonly signer: LogSigner;
  readonly log: Pick<Log, 'anchorProof'>;
  readonly store: Pick<KeyStore, 'generation'>;
}

/** Evidence of where keys are, by the attestation key of the log's newest keys. */
export function openEvidence({ live, signer, log, store, ...deps }: OpenEvidenceDeps): Evidence {
  const standing: EvidenceDeps['standing'] = () => {
    const head = log.anchorProof();
    return { tree_size: head?.treeSize ?? 0, ...(head && { root_hash_b64: head.rootHash.toString('base64') }), generation: store.generation() };
  };
  return createEvidence({ ...deps, attest: signer.attest, standing, config: live.derived(({ settings }): EvidenceConfig => ({
    given: new Set(GIVEN[settings['service.backend']]),
    accepted: new Set<string>(settings['security.attest_classes']),
    isRequired: settings['security.attest_require'] === 'required',
  })) });
}
