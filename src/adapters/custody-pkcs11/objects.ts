import type { Handle, PKCS11, Template } from 'pkcs11js';
import type { KeyAttributes } from './protocol.ts';
import { createHash } from 'node:crypto';
import pkcs11js from 'pkcs11js';
import { CKR_MECHANISM_INVALID, codeOf, TokenFault } from './faults.ts';

/** Keys on a token, by their labels (docs/formats/pkcs11.md). */
export interface TokenObjects {
  /** Throws when there is none, or two. */
  find(session: Handle, kind: ObjectKind, label: string): Handle;
  /** The same, and not from memory: a handle may be good for an object that is gone. */
  findAnew(session: Handle, kind: ObjectKind, label: string): Handle;
  isThere(session: Handle, kind: ObjectKind, label: string): boolean;
  /** Its raw public key. */
  makePair(session: Handle, label: string, curve: Curve): Buffer;
  makeAes256(session: Handle, label: string): void;
  /** All of this label. */
  destroy(session: Handle, label: string): void;
  attributesOf(session: Handle, label: string): KeyAttributes | undefined;
  readData(session: Handle, label: string): readonly Buffer[];
  writeData(session: Handle, label: string, data: Buffer): void;
}

type ObjectKind = 'private' | 'secret';

export interface Curve {
  /** Its name as PrintableString (PKCS #11 3.0 §2.3.5, §2.3.6). */
  readonly params: Buffer;
  /** What the private part may be used for. */
  readonly use: number;
  /** How tokens know it: the first that this one knows is taken. */
  readonly ways: readonly { readonly mechanism: number; readonly keyType: number }[];
}

/** Of PKCS #11 3.0, which pkcs11js does not name: CKM_EC_EDWARDS_KEY_PAIR_GEN and CKM_EC_MONTGOMERY_KEY_PAIR_GEN, with their key types. */
const EDWARDS = { mechanism: 0x1055, keyType: 0x40 };
const MONTGOMERY = { mechanism: 0x1056, keyType: 0x41 };

export const ED25519: Curve = { params: Buffer.from('130c656477617264733235353139', 'hex'), use: pkcs11js.CKA_SIGN, ways: [EDWARDS] };
/** SoftHSM2 has the Montgomery curves under the names of the others. */
export const X25519: Curve = { params: Buffer.from('130a63757276653235353139', 'hex'), use: pkcs11js.CKA_DERIVE, ways: [MONTGOMERY, EDWARDS] };

const CLASS: Readonly<Record<ObjectKind, number>> = { private: pkcs11js.CKO_PRIVATE_KEY, secret: pkcs11js.CKO_SECRET_KEY };
const POINT_BYTES = 32;
const AES_256_BYTES = 32;
const FOUND_MAX = 8;
const PRESENCE_LABEL = 'ron-kms presence';
const HANDLES_KEPT_MAX = 65_536;

/** It never leaves: not in the clear, not wrapped. */
const STAYING: Template = [{ type: pkcs11js.CKA_PRIVATE, value: true }, { type: pkcs11js.CKA_SENSITIVE, value: true }, { type: pkcs11js.CKA_EXTRACTABLE, value: false }];

export function createObjects(module: PKCS11): TokenObjects {
  /** They are good for all sessions. */
  const handles = new Map<string, Handle>();
  const keep = (kind: ObjectKind, label: string, handle: Handle): Handle => {
    if (handles.size >= HANDLES_KEPT_MAX) handles.clear();
    handles.set(`${kind} ${label}`, handle);
    return handle;
  };

  const search = (session: Handle, template: Template): readonly Handle[] => {
    module.C_FindObjectsInit(session, template);
    try {
      return module.C_FindObjects(session, FOUND_MAX);
    } finally {
      module.C_FindObjectsFinal(session);
    }
  };
  const searchFor = (session: Handle, kind: ObjectKind, label: string): readonly Handle[] =>
    search(session, [{ type: pkcs11js.CKA_CLASS, value: CLASS[kind] }, { type: pkcs11js.CKA_LABEL, value: label }]);

  const findAnew = (session: Handle, kind: ObjectKind, label: string): Handle => {
    const [found, second] = searchFor(session, kind, label);
    if (found === undefined) throw new TokenFault('held', 'the token holds no such key');
    if (second !== undefined) throw new TokenFault('held', 'the token holds two keys of this label');
    return keep(kind, label, found);
  };

  const destroy = (session: Handle, label: string): void => {
    for (const object of search(session, [{ type: pkcs11js.CKA_LABEL, value: label }])) module.C_DestroyObject(session, object);
    for (const kind of ['private', 'secret']) handles.delete(`${kind} ${label}`);
  };

  const requirePresent = (session: Handle): void => {
    const made = module.C_CreateObject(session, dataObject(PRESENCE_LABEL, Buffer.of(1)));
    const found = search(session, data(PRESENCE_LABEL));
    module.C_DestroyObject(session, made);
    if (found.length === 0) throw new TokenFault('gone', 'the token does not keep what it is given');
  };

  return {
    find: (session, kind, label) => handles.get(`${kind} ${label}`) ?? findAnew(session, kind, label),
    findAnew,
    isThere: (session, kind, label) => searchFor(session, kind, label).length > 0,

    makePair(session, label, { params, use, ways }) {
      // Left by a mutation that came to nothing, or from behind a backup that was restored: no record knows of it.
      destroy(session, label);
      const { publicKey, privateKey } = firstThatIsKnown(ways, ({ mechanism, keyType }) => module.C_GenerateKeyPair(
        session, { mechanism },
        [...naming(label), { type: pkcs11js.CKA_KEY_TYPE, value: keyType }, { type: pkcs11js.CKA_EC_PARAMS, value: params }],
        [...naming(label), ...STAYING, { type: pkcs11js.CKA_KEY_TYPE, value: keyType }, { type: use, value: true }],
      ));
      const [point] = module.C_GetAttributeValue(session, publicKey, [{ type: pkcs11js.CKA_EC_POINT }]);
      // Known by its record from here on; the object would only be one more to lose.
      module.C_DestroyObject(session, publicKey);
      keep('private', label, privateKey);
      return rawPoint(point?.value as Buffer);
    },

    makeAes256(session, label) {
      destroy(session, label);
      keep('secret', label, module.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
        ...naming(label), ...STAYING, { type: pkcs11js.CKA_VALUE_LEN, value: AES_256_BYTES }, { type: pkcs11js.CKA_ENCRYPT, value: true }, { type: pkcs11js.CKA_DECRYPT, value: true },
      ]));
    },

    destroy,

    attributesOf(session, label) {
      const key = [...searchFor(session, 'private', label), ...searchFor(session, 'secret', label)][0];
      if (key === undefined) return undefined;
      const given = module.C_GetAttributeValue(session, key, Object.values(DESCRIBED).map((type) => ({ type })));
      // CK_BBOOL; the types say less than what comes.
      return Object.fromEntries(Object.keys(DESCRIBED).map((name, i) => [name, Buffer.isBuffer(given[i]?.value) && given[i].value[0] === 1])) as unknown as KeyAttributes;
    },

    readData(session, label) {
      const found = search(session, data(label));
      // A token that was pulled out may seem to be there, and empty: it shows itself by what it is to keep.
      if (found.length === 0) requirePresent(session);
      return found.map((one) => module.C_GetAttributeValue(session, one, [{ type: pkcs11js.CKA_VALUE }])[0]?.value as Buffer);
    },

    writeData(session, label, value) {
      const before = search(session, data(label));
      module.C_CreateObject(session, dataObject(label, value));
      for (const one of before) module.C_DestroyObject(session, one);
    },
  };
}

const DESCRIBED = {
  token: pkcs11js.CKA_TOKEN, private: pkcs11js.CKA_PRIVATE, sensitive: pkcs11js.CKA_SENSITIVE, always_sensitive: pkcs11js.CKA_ALWAYS_SENSITIVE,
  extractable: pkcs11js.CKA_EXTRACTABLE, never_extractable: pkcs11js.CKA_NEVER_EXTRACTABLE, local: pkcs11js.CKA_LOCAL,
} as const satisfies Record<keyof KeyAttributes, number>;

function data(label: string): Template {
  return [{ type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_DATA }, { type: pkcs11js.CKA_LABEL, value: label }];
}

function dataObject(label: string, value: Buffer): Template {
  return [...data(label), { type: pkcs11js.CKA_TOKEN, value: true }, { type: pkcs11js.CKA_PRIVATE, value: true }, { type: pkcs11js.CKA_VALUE, value }];
}

function naming(label: string): Template {
  return [{ type: pkcs11js.CKA_TOKEN, value: true }, { type: pkcs11js.CKA_LABEL, value: label }, { type: pkcs11js.CKA_ID, value: createHash('sha256').update(label).digest() }];
}

function firstThatIsKnown<W, T>(ways: readonly W[], make: (way: W) => T): T {
  for (const [i, way] of ways.entries()) {
    try {
      return make(way);
    } catch (fault) {
      if (codeOf(fault) !== CKR_MECHANISM_INVALID || i === ways.length - 1) throw fault;
    }
  }
  throw new Error('one way at least');
}

/** CKA_EC_POINT is the point, in an OCTET STRING with most tokens. */
function rawPoint(value: Buffer): Buffer {
  return value.length === POINT_BYTES + 2 && value[0] === 0x04 && value[1] === POINT_BYTES ? value.subarray(2) : value;
}
