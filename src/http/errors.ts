import { KmsError } from '../core/errors.ts';

/** What fastify and node call the faults of a request, as refusals of ours. */
const foreign: Readonly<Record<string, () => KmsError>> = {
  FST_ERR_VALIDATION: () => new KmsError('BadRequest'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => new KmsError('BadRequest', { hint: 'the content type is application/json' }),
  FST_ERR_CTP_INVALID_TYPE: () => new KmsError('BadRequest', { hint: 'the content type is application/json' }),
  FST_ERR_CTP_EMPTY_JSON_BODY: () => new KmsError('BadRequest', { hint: 'the body is empty; send at least {}' }),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () => new KmsError('BadRequest', { hint: 'the body is not as long as its Content-Length' }),
  FST_ERR_CTP_BODY_TOO_LARGE: () => new KmsError('TooLarge', { hint: 'the body is over limits.max_body_bytes' }),
  FST_ERR_MAX_PARAM_LENGTH: () => new KmsError('NotFound'),
  FST_ERR_BAD_URL: () => new KmsError('BadRequest', { hint: 'the path is not well formed' }),
  FST_ERR_ASYNC_CONSTRAINT: () => new KmsError('BadRequest'),
  HPE_HEADER_OVERFLOW: () => new KmsError('TooLarge', { status: 431, hint: 'the headers are over 16 KiB' }),
  // Node reads no further while too many answers wait to be taken; over TLS it takes what comes then for a fault.
  HPE_PAUSED: () => new KmsError('Backpressure', { hint: 'too many requests ahead of their answers on this connection' }),
  ERR_HTTP_REQUEST_TIMEOUT: () => new KmsError('Timeout', { status: 408 }),
};

/** Any fault as a refusal: ours as it is, the framework's by its code, all others `Internal`. */
export function errorOf(fault: unknown): KmsError {
  if (fault instanceof KmsError) return fault;
  const code = fault instanceof Error && 'code' in fault ? String(fault.code) : '';
  const known = Object.hasOwn(foreign, code) ? foreign[code]?.() : undefined;
  if (known !== undefined) return known;
  return code.startsWith('HPE_') || code === 'ECONNRESET' ? new KmsError('BadRequest', { hint: 'the request is not well-formed HTTP' }) : KmsError.from(fault);
}
