/** What a TPM says of itself, signed by a key that signs nothing else (TPM 2.0 Part 1 §18.4). */
import type { Tpm } from './tpm.ts';
import { NULL_ALG } from './commands.ts';
import { TpmFault } from './faults.ts';
import { readerOf, sized, u16 } from './marshal.ts';
import { ATTESTATION_KEY, pcrSelection, pointOf } from './public-areas.ts';

/** A key of the TPM's, as it lies on disk. */
export interface TpmAttestationKey {
  readonly public_b64: string;
  readonly private_b64: string;
}

/** `TPMS_ATTEST` as it was signed, and the ECDSA signature (r and s, 64 bytes) over its SHA-256. */
export interface Quote {
  readonly quoted: Buffer;
  readonly signature: Buffer;
}

const ECDSA = 0x0018;
const COORDINATE_BYTES = 32;

/** Used only by who has `authValue`: a quote says that its maker had it too. Gives the public key as an uncompressed point of P-256. */
export function makeAttestationKey(tpm: Tpm, authValue: Buffer): Promise<{ readonly key: TpmAttestationKey; readonly publicBytes: Buffer }> {
  return tpm.use(async (use) => {
    const { publicArea, privateArea } = await use.create(ATTESTATION_KEY, { authValue });
    const { x, y } = pointOf(publicArea);
    return {
      key: { public_b64: publicArea.toString('base64'), private_b64: privateArea.toString('base64') },
      publicBytes: Buffer.concat([Buffer.of(4), padded(x), padded(y)]),
    };
  });
}

/** A quote of these PCRs that carries 32 bytes of the caller's. */
export function quote(tpm: Tpm, { public_b64, private_b64 }: TpmAttestationKey, { authValue, carries, pcrs }: { readonly authValue: Buffer; readonly carries: Buffer; readonly pcrs: readonly number[] }): Promise<Quote> {
  return tpm.use(async (use) => {
    const key = await use.load(Buffer.from(public_b64, 'base64'), Buffer.from(private_b64, 'base64'));
    const session = await use.startSession('hmac', { authValue });
    const { parameters } = await use.run('Quote', { handles: [key], session, parameters: Buffer.concat([sized(carries), u16(NULL_ALG), pcrSelection(pcrs)]) });
    const quoted = parameters.sized();
    const signature = readerOf(parameters.bytes(parameters.left()));
    if (signature.u16() !== ECDSA) throw new TpmFault('answer', 'the TPM signed in another way than its key does');
    signature.u16();
    return { quoted, signature: Buffer.concat([padded(signature.sized()), padded(signature.sized())]) };
  });
}

function padded(coordinate: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(COORDINATE_BYTES - coordinate.length), coordinate]);
}
