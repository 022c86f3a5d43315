import type { KeyRecord, VersionRecord } from '../core/key/record.ts';
import type { Caveats } from '../core/macaroon/caveats.ts';
import type { PublicKeys } from '../ports/public-keys.ts';
import { currentVersion } from '../core/key/record.ts';
import { admitsKid } from '../core/macaroon/caveats.ts';
import { formatDuration, formatRfc3339 } from '../core/time.ts';

/** What is shown of a key (DESIGN §3), in the words of the wire. */
export interface KeyDocument {
  readonly kid: string;
  readonly tenant: string;
  readonly purpose: string;
  readonly alg: string;
  readonly parameter_set?: string;
  readonly input: 'b3' | 'raw';
  readonly state: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly rotate_after?: string;
  readonly created_at: string;
  readonly current_version: number;
  readonly versions: readonly VersionDocument[];
}

interface VersionDocument {
  readonly kid: string;
  readonly version: number;
  readonly state: string;
  readonly created_at: string;
  readonly destroy_at?: string;
  readonly attestation_class: string;
  readonly public: readonly { alg: string; pubkey_b64: string; spki_pem?: string; jwk?: Readonly<Record<string, string>> }[];
}

export interface KeyDocuments {
  /** With those of its versions that the caveats admit. */
  of(key: KeyRecord, caveats: Caveats): KeyDocument;
}

export function makeKeyDocuments({ publicKeys }: { readonly publicKeys: PublicKeys }): KeyDocuments {
  const versionDocument = (version: VersionRecord): VersionDocument => ({
    kid: version.kid,
    version: version.version,
    state: version.state,
    created_at: formatRfc3339(version.createdAtMs),
    ...(version.destroyAtMs !== undefined && { destroy_at: formatRfc3339(version.destroyAtMs) }),
    attestation_class: version.attestationClass,
    public: version.publicParts.map((part) => {
      const { spkiPem, jwk } = publicKeys.describe(part);
      return { alg: part.alg, pubkey_b64: part.bytes.toString('base64'), ...(spkiPem !== undefined && { spki_pem: spkiPem }), ...(jwk && { jwk }) };
    }),
  });

  return {
    of(key, caveats) {
      const current = currentVersion(key);
      return {
        kid: current.kid,
        tenant: key.tenant,
        purpose: key.purpose,
        alg: key.alg,
        ...(key.parameterSet !== undefined && { parameter_set: key.parameterSet }),
        input: key.input,
        state: current.state,
        labels: key.labels,
        ...(key.rotateAfterMs !== undefined && { rotate_after: formatDuration(key.rotateAfterMs) }),
        created_at: formatRfc3339(key.createdAtMs),
        current_version: current.version,
        versions: key.versions.filter(({ version }) => admitsKid(caveats, key, version)).map(versionDocument),
      };
    },
  };
}
