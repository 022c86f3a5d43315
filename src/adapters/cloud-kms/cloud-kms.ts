/**
 * What a fault of a key service means. `gone`: no answer, or a broken one; `busy`: too many calls, later again; `refused`: it answers, and an
 * operator has to look: no permission, no such key there, a key that is disabled.
 */
export type CloudFaultKind = 'gone' | 'busy' | 'refused';

/** Its message is for the operator: it names no secret, and no caller gets it. */
export class CloudFault extends Error {
  override readonly name = 'CloudFault';
  readonly kind: CloudFaultKind;
  /** As the service said, in seconds. */
  readonly retryAfterS: number | undefined;

  constructor(kind: CloudFaultKind, message: string, { retryAfterS, ...options }: ErrorOptions & { readonly retryAfterS?: number | undefined } = {}) {
    super(message, options);
    this.kind = kind;
    this.retryAfterS = retryAfterS;
  }
}

/** One key of a key service elsewhere. Each call is one request, which is not repeated here: who asks knows how long it may take. */
export interface CloudKms {
  /** For messages: provider and key. */
  readonly name: string;
  /** Up to 4,096 bytes. `context` is authenticated and not secret: services write it into their logs. */
  encrypt(plaintext: Buffer, context: string): Promise<Buffer>;
  /** The caller zeroes it; undefined when the key, the context or the ciphertext is another. */
  decrypt(ciphertext: Buffer, context: string): Promise<Buffer | undefined>;
  close(): void;
}

export const PLAINTEXT_BYTES_MAX = 4096;
