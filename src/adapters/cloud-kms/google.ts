/** Google Cloud KMS, its REST API; who this is, is Google's library's business (application default credentials). */
import type { CloudKms } from './cloud-kms.ts';
import { CloudFault } from './cloud-kms.ts';
import { askKeyService, bytesIn } from './http-answer.ts';

export interface GoogleKmsDeps {
  /** `projects/…/locations/…/keyRings/…/cryptoKeys/…` */
  readonly key: string;
  readonly endpoint: string | undefined;
  readonly deadlineMs: number;
}

const ENDPOINT = 'https://cloudkms.googleapis.com';
const SCOPE = 'https://www.googleapis.com/auth/cloudkms';

export async function openGoogleKms({ key, endpoint = ENDPOINT, deadlineMs }: GoogleKmsDeps): Promise<CloudKms> {
  const { GoogleAuth } = await import('google-auth-library').catch((fault: unknown) => {
    throw new Error('the optional package google-auth-library is not here: npm ci installs it', { cause: fault });
  });
  // Where it is not told the project, it asks for it.
  const auth = new GoogleAuth({ scopes: [SCOPE], projectId: key.split('/')[1] ?? '' });
  const name = `Google Cloud KMS, ${key}`;

  const ask = async (verb: 'encrypt' | 'decrypt', body: object): Promise<Readonly<Record<string, unknown>> | undefined> => {
    // Kept there until shortly before it ends.
    const token = await within(auth.getAccessToken(), deadlineMs).catch((fault: unknown) => {
      const { response, message } = fault as Error & { readonly response?: { readonly status?: number } };
      const status = response?.status ?? 0;
      throw new CloudFault(status >= 400 && status < 500 ? 'refused' : 'gone', `${name}: there are no credentials, or they get no permission (${message.split('\n')[0]})`, { cause: fault });
    });
    return askKeyService(name, `${endpoint}/v1/${key}:${verb}`, body, { deadlineMs, headers: { authorization: `Bearer ${token}` } });
  };

  return {
    name,
    async encrypt(plaintext, context) {
      const answer = await ask('encrypt', { plaintext: plaintext.toString('base64'), additionalAuthenticatedData: Buffer.from(context).toString('base64') });
      if (answer === undefined) throw new CloudFault('refused', `${name} takes no plaintext: is it a key for symmetric encryption?`);
      return bytesIn(name, answer['ciphertext']);
    },
    async decrypt(ciphertext, context) {
      const answer = await ask('decrypt', { ciphertext: ciphertext.toString('base64'), additionalAuthenticatedData: Buffer.from(context).toString('base64') });
      return answer && bytesIn(name, answer['plaintext']);
    },
    close: () => undefined,
  };
}

/** The library has no deadline for all ways to a token. */
function within<T>(work: Promise<T>, deadlineMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => { timer = setTimeout(() => reject(new Error('no answer in time')), deadlineMs); });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
