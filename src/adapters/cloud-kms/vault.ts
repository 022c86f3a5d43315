/** The transit engine of HashiCorp Vault and OpenBao, its HTTP API. */
import type { CloudKms } from './cloud-kms.ts';
import { CloudFault } from './cloud-kms.ts';
import { askKeyService, bytesIn } from './http-answer.ts';

export interface VaultTransitDeps {
  readonly endpoint: string;
  readonly mount: string;
  /** The name of a key of an AEAD type (aes256-gcm96, the default, or chacha20-poly1305). */
  readonly key: string;
  /** Asked for at each call: an agent renews it. */
  readonly token: () => string;
  readonly deadlineMs: number;
}

export function openVaultTransit({ endpoint, mount, key, token, deadlineMs }: VaultTransitDeps): CloudKms {
  const name = `Vault transit, ${mount}/${key}`;

  const ask = async (verb: 'encrypt' | 'decrypt', body: object): Promise<Readonly<Record<string, unknown>> | undefined> => {
    const url = `${endpoint.replace(/\/$/, '')}/v1/${mount}/${verb}/${encodeURIComponent(key)}`;
    const answer = await askKeyService(name, url, body, { deadlineMs, headers: { 'x-vault-token': token(), 'x-vault-request': 'true' } });
    if (answer === undefined) return undefined;
    const { data } = answer;
    if (typeof data !== 'object' || data === null) throw new CloudFault('gone', `${name} gave an answer without what was asked for`);
    return { ...data };
  };

  return {
    name,
    async encrypt(plaintext, context) {
      const answer = await ask('encrypt', { plaintext: plaintext.toString('base64'), associated_data: Buffer.from(context).toString('base64') });
      const ciphertext = answer?.['ciphertext'];
      const noAnswer = (): never => { throw new CloudFault('gone', `${name} gave a ciphertext of another form`); };
      if (typeof ciphertext !== 'string') throw new CloudFault('refused', `${name} takes no plaintext: is the key of an AEAD type?`);
      return fromText(ciphertext) ?? noAnswer();
    },
    async decrypt(ciphertext, context) {
      const text = toText(ciphertext);
      const answer = text === undefined ? undefined : await ask('decrypt', { ciphertext: text, associated_data: Buffer.from(context).toString('base64') });
      return answer && bytesIn(name, answer['plaintext']);
    },
    close: () => undefined,
  };
}

const TEXT = /^vault:v([1-9]\d{0,8}):([A-Za-z0-9+/]+={0,2})$/;
const VERSION_BYTES = 4;

/** As bytes there is one spelling of a ciphertext; as text, of base64 there are several. */
function fromText(text: string): Buffer | undefined {
  const [, version, encoded = ''] = TEXT.exec(text) ?? [];
  if (version === undefined) return undefined;
  const head = Buffer.alloc(VERSION_BYTES);
  head.writeUInt32BE(Number(version));
  return Buffer.concat([head, Buffer.from(encoded, 'base64')]);
}

function toText(bytes: Buffer): string | undefined {
  return bytes.length > VERSION_BYTES ? `vault:v${bytes.readUInt32BE(0)}:${bytes.toString('base64', VERSION_BYTES)}` : undefined;
}
