import type { Handle, Mechanism, PKCS11 } from 'pkcs11js';
import type { TokenCalls, TokenFacts, TokenSettings } from './protocol.ts';
import type { TokenObjects } from './objects.ts';
import type { Sessions } from './sessions.ts';
import pkcs11js from 'pkcs11js';
import { mayBeInput, TokenFault } from './faults.ts';
import { createObjects, ED25519, X25519 } from './objects.ts';
import { PROBE_LABEL, SEAL_LABEL } from './protocol.ts';
import { createSessions } from './sessions.ts';

/** CKM_EDDSA of PKCS #11 3.0, which pkcs11js does not name. */
const CKM_EDDSA = 0x1057;
const CKD_NULL = 1;
const ED25519_SIGNATURE_BYTES = 64;
const X25519_SECRET_BYTES = 32;
const TAG_BITS = 128;
const PROBE = Buffer.from('probe');

/** Opens the token and logs in; throws with what the operator has to mend. */
export async function openToken({ modulePath, slotLabel, pin, sessions: count }: TokenSettings): Promise<TokenCalls> {
  const module = new pkcs11js.PKCS11();
  module.load(modulePath);
  // Without it, calls from several threads crash the process.
  module.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK });
  const slot = module.C_GetSlotList(true).find((one) => module.C_GetTokenInfo(one).label.trim() === slotLabel);
  if (slot === undefined) throw new TokenFault('gone', `no slot has a token labelled ${slotLabel}`);
  const openSession = (): Handle => module.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
  const first = openSession();
  // For the token, and so for all sessions.
  module.C_Login(first, pkcs11js.CKU_USER, pin);
  return callsOver(module, slot, createSessions([first, ...Array.from({ length: count - 1 }, openSession)]));
}

/** What the service has of its own on the token is made before there is any key, and never again. */
function haveOwnKeys(objects: TokenObjects, session: Handle, mayCreate: boolean): void {
  const needed = [
    { label: SEAL_LABEL, kind: 'secret', make: () => objects.makeAes256(session, SEAL_LABEL) },
    { label: PROBE_LABEL, kind: 'private', make: () => { objects.makePair(session, PROBE_LABEL, ED25519); } },
  ] as const;
  for (const { label, kind, make } of needed) {
    if (objects.isThere(session, kind, label)) continue;
    if (!mayCreate) throw new TokenFault('gone', `the token has lost the key "${label}", and there are keys that need it: it is another token, or it was set up anew`);
    make();
  }
}

/** The calls, over sessions that are logged in. */
export function callsOver(module: PKCS11, slot: Handle, { use }: Sessions): TokenCalls {
  const objects = createObjects(module);
  const signBy = async (session: Handle, key: Handle, message: Uint8Array): Promise<Uint8Array> => {
    module.C_SignInit(session, { mechanism: CKM_EDDSA }, key);
    return module.C_SignAsync(session, Buffer.from(message), Buffer.alloc(ED25519_SIGNATURE_BYTES));
  };
  const probeIn = async (session: Handle): Promise<void> => {
    await signBy(session, objects.findAnew(session, 'private', PROBE_LABEL), PROBE);
  };

  /** Undefined where the token says no to what it was given. It may have no code of its own for that: whether it says no to everything is asked. */
  const unlessRefused = async <T>(session: Handle, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (fault) {
      if (!mayBeInput(fault)) throw fault;
      await probeIn(session);
      return undefined;
    }
  };

  return {
    probe: () => use(probeIn),
    makeEd25519: (label) => use((session) => objects.makePair(session, label, ED25519)),
    makeX25519: (label) => use((session) => objects.makePair(session, label, X25519)),
    makeAes256: (label) => use((session) => objects.makeAes256(session, label)),
    sign: (label, message) => use((session) => signBy(session, objects.find(session, 'private', label), message)),
    derive: (label, peerPublic) => use(async (session) => {
      const key = objects.find(session, 'private', label);
      const derived = await unlessRefused(session, () => module.C_DeriveKeyAsync(session, ecdh(peerPublic), key, DERIVED));
      if (derived === undefined) return undefined;
      const [secret] = module.C_GetAttributeValue(session, derived, [{ type: pkcs11js.CKA_VALUE }]);
      module.C_DestroyObject(session, derived);
      const value = secret?.value as Buffer;
      return value.every((byte) => byte === 0) ? undefined : value;
    }),
    encrypt: (label, nonce, aad, plaintext) => use(async (session) => {
      module.C_EncryptInit(session, gcm(nonce, aad), objects.find(session, 'secret', label));
      return module.C_EncryptAsync(session, Buffer.from(plaintext), Buffer.alloc(plaintext.length + TAG_BITS / 8));
    }),
    decrypt: (label, nonce, aad, ciphertext) => use(async (session) => {
      const key = objects.find(session, 'secret', label);
      return unlessRefused(session, async () => {
        module.C_DecryptInit(session, gcm(nonce, aad), key);
        return module.C_DecryptAsync(session, Buffer.from(ciphertext), Buffer.alloc(ciphertext.length));
      });
    }),
    destroy: (label) => use((session) => objects.destroy(session, label)),
    haveOwnKeys: (mayCreate) => use((session) => haveOwnKeys(objects, session, mayCreate)),
    attributesOf: (label) => use((session) => objects.attributesOf(session, label)),
    facts: () => use(() => factsOf(module, slot)),
    readData: (label) => use((session) => objects.readData(session, label)),
    writeData: (label, data) => use((session) => objects.writeData(session, label, Buffer.from(data))),
  };
}

function factsOf(module: PKCS11, slot: Handle): TokenFacts {
  const { label, manufacturerID, model, serialNumber, firmwareVersion: { major, minor } } = module.C_GetTokenInfo(slot);
  const [name, manufacturer, type, serial] = [label, manufacturerID, model, serialNumber].map((text) => text.replace(/\0/g, '').trim());
  return {
    label: name ?? '', manufacturer: manufacturer ?? '', model: type ?? '', serial: serial ?? '', firmware: `${major}.${minor}`, slot: module.C_GetSlotInfo(slot).slotDescription.trim(),
    mechanisms: module.C_GetMechanismList(slot),
  };
}

/** The shared secret is asked for to be taken out: HPKE goes on with it in the service. */
const DERIVED = [
  { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY }, { type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_GENERIC_SECRET }, { type: pkcs11js.CKA_TOKEN, value: false },
  { type: pkcs11js.CKA_SENSITIVE, value: false }, { type: pkcs11js.CKA_EXTRACTABLE, value: true }, { type: pkcs11js.CKA_VALUE_LEN, value: X25519_SECRET_BYTES },
];

/** Its types leave out what the native side takes. */
function ecdh(peerPublic: Uint8Array): Mechanism {
  return { mechanism: pkcs11js.CKM_ECDH1_DERIVE, parameter: { type: pkcs11js.CK_PARAMS_EC_DH, kdf: CKD_NULL, publicData: Buffer.from(peerPublic) } as never };
}

function gcm(nonce: Uint8Array, aad: Uint8Array): Mechanism {
  return { mechanism: pkcs11js.CKM_AES_GCM, parameter: { type: pkcs11js.CK_PARAMS_AES_GCM, iv: Buffer.from(nonce), ivBits: 8 * nonce.length, aad: Buffer.from(aad), tagBits: TAG_BITS } as never };
}
