import type { Attestor } from '../../ports/attestor.ts';
import type { Tpm } from './tpm.ts';
import type { TpmAttestationKey } from './quote.ts';
import { makeAttestationKey, quote } from './quote.ts';
import { sha256 } from './sessions.ts';

export interface TpmAttestorDeps {
  readonly tpm: Tpm;
  /** `backends.tpm.pcrs`. */
  readonly pcrs: readonly number[];
  /** Under a key that only who unsealed the root key has: a quote says that its maker did. */
  readonly mac: (bytes: Buffer) => Buffer;
}

const AUTH_CONTEXT = 'ron-kms/attestation-tpm/v1\n';

/** Quotes of a TPM: this machine, in this state, by who has the root key that it sealed. */
export function createTpmAttestor({ tpm, pcrs, mac }: TpmAttestorDeps): Attestor {
  const ordered = pcrs.toSorted((one, other) => one - other);
  return {
    backend: 'tpm',
    async makeKey(name) {
      const { key, publicBytes } = await makeAttestationKey(tpm, authOf(name, mac));
      return { key: `p256:${publicBytes.toString('base64')}`, held: { name, ...key } };
    },
    describe: async () => ({ kind: 'tpm', pcrs: ordered }),
    async prove({ held }, message) {
      const { name, ...key } = held as unknown as { readonly name: string } & TpmAttestationKey;
      const { quoted, signature } = await quote(tpm, key, { authValue: authOf(name, mac), carries: sha256(message), pcrs: ordered });
      return { quoted_b64: quoted.toString('base64'), signature_b64: signature.toString('base64') };
    },
  };
}

function authOf(name: string, mac: TpmAttestorDeps['mac']): Buffer {
  return mac(Buffer.from(`${AUTH_CONTEXT}${name}`));
}
