import { promisify } from 'node:util';
import { brotliDecompress, constants, gunzip, zstdDecompress } from 'node:zlib';
import { KmsError } from '../core/errors.ts';
import { createInFlight } from '../service/in-flight.ts';

export interface UnpackLimits {
  /** `limits.max_body_bytes`: as it comes, and unpacked. */
  readonly bodyMaxBytes: number;
  /** `limits.decompress_ratio_cap`: how many times larger it may become. */
  readonly ratioMax: () => number;
}

/** Gives the body as it was before its `Content-Encoding` (RFC 9110 §8.4). */
export type Unpack = (encoding: string, body: Buffer) => Promise<Buffer>;

type Decoder = (body: Buffer, options: { readonly maxOutputLength: number }) => Promise<Buffer>;

/** Memory of a zstd frame's window: what RFC 8878 §3.1.1.1.2 asks of a decoder, and no more. */
const ZSTD_WINDOW_LOG_MAX = 23;
const zstd = promisify(zstdDecompress);

/** By the content codings of the IANA registry. */
const decoders: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ['gzip', promisify(gunzip)],
  ['x-gzip', promisify(gunzip)],
  ['br', promisify(brotliDecompress)],
  ['zstd', (body, { maxOutputLength }) => zstd(body, { maxOutputLength, params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX } })],
]);

/** A brotli window is up to 16 MiB, whatever the body's size: so many at once bound that. */
const UNPACKED_AT_ONCE = 16;

/** Unpacking stops where the first cap is met, so what would become larger never exists. */
export function createUnpack({ bodyMaxBytes, ratioMax }: UnpackLimits): Unpack {
  const slots = createInFlight(() => UNPACKED_AT_ONCE, { hint: 'too many compressed bodies are unpacked at once' });
  return async (encoding, body) => {
    const decode = decoders.get(encoding.trim().toLowerCase());
    if (decode === undefined) throw new KmsError('BadRequest', { hint: 'a body is compressed with gzip, br or zstd, once, or sent as it is' });
    const byRatio = ratioMax() * body.length;
    try {
      return await slots.run(() => decode(body, { maxOutputLength: Math.max(1, Math.min(bodyMaxBytes, byRatio)) }));
    } catch (fault) {
      if (fault instanceof KmsError) throw fault;
      if (codeOf(fault) !== 'ERR_BUFFER_TOO_LARGE') throw new KmsError('BadRequest', { hint: 'the compressed body is damaged, or cut short', cause: fault });
      throw byRatio < bodyMaxBytes
        ? new KmsError('TooLarge', { reason: 'ratio_cap', hint: 'unpacked the body is more than limits.decompress_ratio_cap times as large: send it as it is' })
        : new KmsError('TooLarge', { reason: 'decompress_cap', hint: 'unpacked the body is over limits.max_body_bytes' });
    }
  };
}

function codeOf(fault: unknown): unknown {
  return fault instanceof Error && 'code' in fault ? fault.code : undefined;
}
