import type { KeyObject } from 'node:crypto';
import type { VerifierKey } from '../../client/src/log/vkey.ts';
import type { LogSigner } from '../../src/ports/log-signer.ts';
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { formatCheckpoint } from '../../client/src/log/checkpoint.ts';
import { cosignedMessage, encodeTimestamped } from '../../client/src/log/cosignature.ts';
import { formatSignature } from '../../client/src/log/note.ts';
import { SIGNATURE_TYPE, formatVkey, vkeyOf } from '../../client/src/log/vkey.ts';

/** One Ed25519 and one ML-DSA-44 key of a log, which never change. Can be told to fail. */
export interface TestSigner extends LogSigner {
  readonly vkeys: readonly VerifierKey[];
  /** From now on every signature fails with this; undefined mends it. */
  failWith(fault: Error | undefined): void;
}

export const SIGNER_ORIGIN = 'ron-kms/01890000-0000-7000-8000-0000000010c5';

interface SignerKeys {
  readonly ed25519: KeyObject;
  readonly mlDsa: KeyObject;
}

function makeKeys(): SignerKeys {
  return { ed25519: generateKeyPairSync('ed25519').privateKey, mlDsa: generateKeyPairSync('ml-dsa-44').privateKey };
}

export function createTestSigner(origin: string = SIGNER_ORIGIN, { ed25519, mlDsa }: SignerKeys = makeKeys()): TestSigner {
  const edKey = vkeyOf(origin, SIGNATURE_TYPE.ed25519, rawPublic(ed25519));
  const mlDsaKey = vkeyOf(origin, SIGNATURE_TYPE.mlDsa44Cosignature, rawPublic(mlDsa));
  const macKey = ed25519.export({ format: 'der', type: 'pkcs8' });
  let fault: Error | undefined;

  return {
    origin,
    vkeys: [edKey, mlDsaKey],
    failWith: (next) => { fault = next; },
    keys: () => [
      { vkey: formatVkey(edKey), alg: 'ed25519', fromIndex: 0 },
      { vkey: formatVkey(mlDsaKey), alg: 'ml-dsa-44', fromIndex: 0 },
    ],
    async sign(checkpoint, nowMs) {
      if (fault !== undefined) throw fault;
      const text = formatCheckpoint(checkpoint);
      const timestampS = Math.floor(nowMs / 1000);
      const message = cosignedMessage({ cosignerName: origin, timestampS, origin, start: 0, end: checkpoint.size, hash: checkpoint.rootHash });
      const lines = [
        formatSignature({ name: origin, keyId: edKey.keyId, signature: sign(null, Buffer.from(text), ed25519) }),
        formatSignature({ name: origin, keyId: mlDsaKey.keyId, signature: encodeTimestamped({ timestampS, signature: sign(null, message, mlDsa) }) }),
      ];
      return `${text}\n${lines.join('')}`;
    },
    mac: (bytes) => createHmac('sha256', macKey).update(bytes).digest(),
    prepare: neverRotates,
    prepared: () => undefined,
    activate: neverRotates,
    retire: neverRotates,
    move: async () => undefined,
    newestMs: () => 0,
    attestationOf: () => undefined,
    attest: neverRotates,
  };
}

async function neverRotates(): Promise<never> {
  throw new Error('the keys of this signer never change');
}

function rawPublic(privateKey: KeyObject): Buffer {
  return createPublicKey(privateKey).export({ format: 'raw-public' });
}

/** The keys in a file, made with it where it is not there: for processes that write one log. */
export function signerFromFile(path: string): TestSigner {
  if (!existsSync(path)) writeFileSync(path, JSON.stringify(exported(makeKeys())), { mode: 0o600 });
  const [ed25519, mlDsa] = (JSON.parse(readFileSync(path, 'utf8')) as [string, string]).map((pem) => createPrivateKey(pem)) as [KeyObject, KeyObject];
  return createTestSigner(SIGNER_ORIGIN, { ed25519, mlDsa });
}

function exported({ ed25519, mlDsa }: SignerKeys): readonly (string | Buffer)[] {
  return [ed25519, mlDsa].map((key) => key.export({ format: 'pem', type: 'pkcs8' }));
}
