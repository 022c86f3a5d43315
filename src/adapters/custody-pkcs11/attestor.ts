import type { KeyAttributes, TokenCalls } from './protocol.ts';
import type { LogDevice } from '../../ports/attestor.ts';
import { KmsError } from '../../core/errors.ts';
import { SEAL_LABEL } from './protocol.ts';
import { INSIDE_CLASS, WRAPPED_CLASS } from './custody.ts';

type Token = Pick<TokenCalls, 'makeEd25519' | 'sign' | 'destroy' | 'attributesOf' | 'facts'>;

/** A token's word for what it holds, signed by a key of its own, and the Ed25519 keys of a log inside it. */
export function createTokenLogDevice(token: Token): LogDevice {
  const shownFacts = async () => {
    const { label, manufacturer, model, serial, firmware, slot } = await token.facts();
    return { label, manufacturer, model, serial, firmware, slot };
  };

  /** Where what a version is made of lies, by its class. */
  const labelsOf = async ({ kid, attestationClass }: { readonly kid: string; readonly attestationClass: string }): Promise<readonly string[]> => {
    if (attestationClass === INSIDE_CLASS) return [kid];
    if (attestationClass !== WRAPPED_CLASS) throw new KmsError('AttestationMissing', { hint: 'this version is not held by the token' });
    // Its classical part is inside as well, where it has one.
    return await token.attributesOf(kid) === undefined ? [SEAL_LABEL] : [SEAL_LABEL, kid];
  };

  const sign = async (label: string, message: Buffer): Promise<Buffer> => Buffer.from(await token.sign(label, message));

  return {
    attestor: {
      backend: 'pkcs11',
      async makeKey(name) {
        const label = `ron-kms attest ${name}`;
        return { key: `ed25519:${Buffer.from(await token.makeEd25519(label)).toString('base64')}`, held: { label } };
      },
      dropKey: ({ held }) => token.destroy(String(held['label'])),
      async describe(version) {
        const labels = version === undefined ? [SEAL_LABEL] : await labelsOf(version);
        const objects: Record<string, Readonly<Record<string, boolean>>> = {};
        for (const label of labels) objects[label] = { ...await required(token, label) };
        return { kind: 'pkcs11', token: await shownFacts(), objects };
      },
      async prove({ held }, message) {
        return { signature_b64: (await sign(String(held['label']), message)).toString('base64') };
      },
    },
    logKeys: {
      async make(name) {
        const label = `ron-kms log ${name}`;
        return { publicBytes: Buffer.from(await token.makeEd25519(label)), held: { label, shown: await shownFacts() } };
      },
      sign: ({ label }, message) => sign(label, message),
      destroy: ({ label }) => token.destroy(label),
    },
  };
}

async function required(token: Token, label: string): Promise<KeyAttributes> {
  const attributes = await token.attributesOf(label);
  if (attributes === undefined) throw new KmsError('AttestationMissing', { hint: 'the token does not hold this version' });
  return attributes;
}
