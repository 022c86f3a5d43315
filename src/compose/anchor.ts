import type { Log } from '../adapters/audit-log/log.ts';
import type { Config } from '../config/load.ts';
import type { Anchor } from '../ports/anchor.ts';
import type { Devices } from './devices.ts';
import type { Clock } from '../ports/clock.ts';
import type { LogSigner } from '../ports/log-signer.ts';
import type { Anchoring, AnchoringDeps } from '../service/anchoring.ts';
import { parseVkey, SIGNATURE_TYPE } from '../../client/src/log/vkey.ts';
import { createFileAnchor } from '../adapters/anchor-file/anchor.ts';
import { createTokenAnchor } from '../adapters/anchor-pkcs11/anchor.ts';
import { createTpmAnchor } from '../adapters/anchor-tpm/anchor.ts';
import { createWitnessAnchor } from '../adapters/anchor-witness/anchor.ts';
import { KmsError } from '../core/errors.ts';
import { createAnchoring } from '../service/anchoring.ts';

export interface OpenAnchoringDeps extends Pick<AnchoringDeps, 'clock' | 'random' | 'telemetry' | 'integrity'> {
  readonly settings: Config['settings'];
  readonly log: Log;
  readonly anchor: Anchor | undefined;
}

/** Keeps the anchor where the log is; undefined where there is none. */
export function openAnchoring({ settings, log, anchor, ...deps }: OpenAnchoringDeps): Anchoring | undefined {
  return anchor && createAnchoring({ ...deps, anchor, log: { ...log, headProof: () => headProof(log) }, intervalMs: settings['audit.anchor_interval'] });
}

/** What anchors the log, as the settings say; undefined where nothing does. Throws with what the operator has to do. */
export async function anchorOf(settings: Config['settings'], signer: LogSigner, clock: Clock, devices: Devices): Promise<Anchor | undefined> {
  const { 'audit.anchor': kind, 'audit.anchor_path': path, 'audit.witness_url': url, 'audit.witness_vkey': vkey } = settings;
  if (kind === 'file' && path !== undefined) return createFileAnchor({ path, origin: signer.origin, mac: signer.mac });
  if (kind === 'tpm') return createTpmAnchor({ tpm: devices.tpm(), index: settings['backends.tpm.nv_index'], mac: signer.mac });
  if (kind === 'pkcs11') return createTokenAnchor({ token: (await devices.token()).reviving, origin: signer.origin, mac: signer.mac });
  if (kind !== 'witness' || url === undefined || vkey === undefined) return undefined;
  const key = parseVkey(vkey);
  if (key === undefined || key.type === SIGNATURE_TYPE.ed25519) throw new Error('audit.witness_vkey is no verifier key of a witness: its type is 4 or 6, and its id fits its name and key');
  return createWitnessAnchor({ url, key, clock, logKeys: () => signer.keys().flatMap((one) => parseVkey(one.vkey) ?? []) });
}

function headProof(log: Log): ReturnType<AnchoringDeps['log']['headProof']> {
  const proof = log.anchorProof();
  if (proof === undefined) throw new KmsError('AuditUnavailable');
  return proof;
}
