/** AWS KMS, by its own SDK: credentials as it finds them (variables, profile, instance or task role), SigV4 and endpoints are its business. */
import type { CloudKms } from './cloud-kms.ts';
import { CloudFault } from './cloud-kms.ts';

export interface AwsKmsDeps {
  /** Key id, alias or ARN; an ARN names its region. */
  readonly key: string;
  readonly region: string | undefined;
  readonly endpoint: string | undefined;
  readonly deadlineMs: number;
}

const ARN_REGION = /^arn:aws[a-z-]*:kms:([a-z0-9-]+):/;
/** https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html#API_Decrypt_Errors */
const OF_CIPHERTEXT: ReadonlySet<string> = new Set(['InvalidCiphertextException', 'IncorrectKeyException']);
const BUSY: ReadonlySet<string> = new Set(['ThrottlingException', 'LimitExceededException', 'TooManyRequestsException']);
const GONE: ReadonlySet<string> = new Set(['KMSInternalException', 'DependencyTimeoutException', 'KeyUnavailableException', 'TimeoutError', 'AbortError']);

export async function openAwsKms({ key, region = ARN_REGION.exec(key)?.[1], endpoint, deadlineMs }: AwsKmsDeps): Promise<CloudKms> {
  const { KMSClient, EncryptCommand, DecryptCommand } = await import('@aws-sdk/client-kms').catch((fault: unknown) => {
    throw new Error('the optional package @aws-sdk/client-kms is not here: npm ci installs it', { cause: fault });
  });
  const client = new KMSClient({ ...(region !== undefined && { region }), ...(endpoint !== undefined && { endpoint }), maxAttempts: 1 });
  const name = `AWS KMS, ${key}`;

  const asked = async <T>(ask: (options: { abortSignal: AbortSignal }) => Promise<T>): Promise<T | undefined> => {
    try {
      return await ask({ abortSignal: AbortSignal.timeout(deadlineMs) });
    } catch (fault) {
      const { name: code, $metadata, message } = fault as Error & { readonly $metadata?: { readonly httpStatusCode?: number } };
      const status = $metadata?.httpStatusCode;
      if (OF_CIPHERTEXT.has(code)) return undefined;
      if (BUSY.has(code) || status === 429) throw new CloudFault('busy', `${name} answered ${code}: it has too many calls`, { retryAfterS: 1, cause: fault });
      if (GONE.has(code) || status === undefined || status >= 500) throw new CloudFault('gone', `${name} does not answer (${code}: ${message.split('\n')[0]})`, { cause: fault });
      throw new CloudFault('refused', `${name} answered ${code}: look at the key's policy, its state and its region`, { cause: fault });
    }
  };

  return {
    name,
    async encrypt(plaintext, context) {
      const answer = await asked((options) => client.send(new EncryptCommand({ KeyId: key, Plaintext: plaintext, EncryptionContext: { 'ron-kms': context } }), options));
      if (answer?.CiphertextBlob === undefined) throw new CloudFault('gone', `${name} gave an answer without a ciphertext`);
      return Buffer.from(answer.CiphertextBlob);
    },
    async decrypt(ciphertext, context) {
      // With the key named, a ciphertext of another one is refused even where this service may use that, too.
      const answer = await asked((options) => client.send(new DecryptCommand({ KeyId: key, CiphertextBlob: ciphertext, EncryptionContext: { 'ron-kms': context } }), options));
      return answer?.Plaintext && Buffer.from(answer.Plaintext.buffer, answer.Plaintext.byteOffset, answer.Plaintext.byteLength);
    },
    close: () => client.destroy(),
  };
}
