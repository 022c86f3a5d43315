import type { Aead, Kem, SignatureScheme } from '../core/algorithm/table.ts';
import type { PublicPart } from '../core/key/record.ts';

/** What anyone can do with public keys: needs no custody, so it goes on while a backend is out. */
export interface PublicKeys {
  /** False for a wrong signature and for one of the wrong length; never throws over one. */
  verify(scheme: SignatureScheme, part: PublicPart, message: Buffer, context: Buffer, signature: Buffer): Promise<boolean>;
  /** HPKE base mode to this public key: `enc`, and ciphertext with tag. */
  seal(kem: Kem, aead: Aead, part: PublicPart, info: Buffer, aad: Buffer, plaintext: Buffer): { readonly enc: Buffer; readonly ciphertext: Buffer };
  /** SPKI PEM and JWK of a public part, where its algorithm has them. */
  describe(part: PublicPart): { readonly spkiPem?: string; readonly jwk?: Readonly<Record<string, string>> };
}
