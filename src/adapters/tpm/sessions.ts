/** Sessions of a TPM: what authorises a command, shows that nobody on the bus changed it, and hides its secret parameter (Part 1 §17 to §21). */
import { createCipheriv, createDecipheriv, createECDH, createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { TpmFault } from './faults.ts';
import { sized, u16, u32, u8 } from './marshal.ts';

export const NONCE_BYTES = 32;
const AES_KEY_BYTES = 16;
const CFB = 'aes-128-cfb';
const COORDINATE_BYTES = 32;

/** TPMA_SESSION. */
export const DECRYPT = 0x20;
export const ENCRYPT = 0x40;

/** Of one command; the next one gets another. */
export interface Session {
  readonly handle: number;
  /** Empty where nothing was salted in. */
  readonly key: Buffer;
  /** Of what it authorises; without zeros at its end, which a TPM takes off. */
  readonly authValue: Buffer;
  /** Whether the HMAC is to show that the auth value is known: not under a policy that does not ask for it. */
  readonly isAuthShown: boolean;
  readonly attributes: number;
  nonceTpm: Buffer;
}

export function sha256(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function hmac(key: Buffer, ...parts: readonly Uint8Array[]): Buffer {
  const mac = createHmac('sha256', key);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

/** KDFa (Part 1 §11.4.10.2), up to one block of HMAC-SHA256. */
function kdfa(key: Buffer, label: string, contextU: Buffer, contextV: Buffer): Buffer {
  return hmac(key, u32(1), Buffer.from(`${label}\0`, 'latin1'), contextU, contextV, u32(256));
}

/** KDFe (Part 1 §11.4.10.3). */
function kdfe(z: Buffer, label: string, partyU: Buffer, partyV: Buffer): Buffer {
  return sha256(u32(1), z, Buffer.from(`${label}\0`, 'latin1'), partyU, partyV);
}

export interface Point {
  readonly x: Buffer;
  readonly y: Buffer;
}

/** A secret for the holder of this P-256 key alone, and what it is told by (Part 1 §C.6.3). */
export function makeSalt({ x, y }: Point): { readonly salt: Buffer; readonly encrypted: Buffer } {
  const ecdh = createECDH('prime256v1');
  const own = ecdh.generateKeys();
  const z = ecdh.computeSecret(Buffer.concat([u8(4), padded(x), padded(y)]));
  const [ownX, ownY] = [own.subarray(1, 1 + COORDINATE_BYTES), own.subarray(1 + COORDINATE_BYTES)];
  const salt = kdfe(z, 'SECRET', ownX, padded(x));
  z.fill(0);
  return { salt, encrypted: Buffer.concat([sized(ownX), sized(ownY)]) };
}

function padded(coordinate: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(Math.max(0, COORDINATE_BYTES - coordinate.length)), coordinate]);
}

export function sessionKey(salt: Buffer, nonceTpm: Buffer, nonceCaller: Buffer): Buffer {
  return salt.length === 0 ? salt : kdfa(salt, 'ATH', nonceTpm, nonceCaller);
}

export function withoutZerosAtEnd(authValue: Buffer): Buffer {
  let end = authValue.length;
  while (end > 0 && authValue[end - 1] === 0) end--;
  return authValue.subarray(0, end);
}

/** A command made ready for its session, and how its answer is read. */
export interface Authorised {
  readonly area: Buffer;
  readonly parameters: Buffer;
  /** Checks the answer's HMAC, and gives its parameters in the clear. */
  readAnswer(code: number, parameters: Buffer, area: { readonly nonce: Buffer; readonly attributes: number; readonly mac: Buffer }): Buffer;
}

/** `names` are those of the command's handles: what is authorised is this command, on these objects. */
export function authorise(session: Session, commandCode: number, names: readonly Buffer[], plainParameters: Buffer): Authorised {
  const nonceCaller = randomBytes(NONCE_BYTES);
  const secret = Buffer.concat([session.key, session.authValue]);
  const macKey = session.isAuthShown ? secret : session.key;
  const parameters = isSet(session.attributes, DECRYPT) ? transformed(plainParameters, 'seal', kdfa(secret, 'CFB', nonceCaller, session.nonceTpm)) : plainParameters;
  const cpHash = sha256(u32(commandCode), ...names, parameters);
  const mac = macKey.length === 0 ? Buffer.alloc(0) : hmac(macKey, cpHash, nonceCaller, session.nonceTpm, u8(session.attributes));
  return {
    parameters,
    area: Buffer.concat([u32(session.handle), sized(nonceCaller), u8(session.attributes), sized(mac)]),
    readAnswer(code, answer, { nonce, attributes, mac: given }) {
      session.nonceTpm = nonce;
      const rpHash = sha256(u32(code), u32(commandCode), answer);
      const expected = macKey.length === 0 ? Buffer.alloc(0) : hmac(macKey, rpHash, nonce, nonceCaller, u8(attributes));
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw new TpmFault('answer', 'the answer does not authenticate: something between here and the TPM changed it, or the PIN is another');
      if (isSet(session.attributes, ENCRYPT) && !isSet(attributes, ENCRYPT)) throw new TpmFault('answer', 'the TPM was asked to encrypt its answer and did not');
      return isSet(session.attributes, ENCRYPT) ? transformed(answer, 'open', kdfa(secret, 'CFB', nonce, nonceCaller)) : answer;
    },
  };
}

/** Of the first parameter, a TPM2B, the bytes behind its length. */
function transformed(parameters: Buffer, way: 'seal' | 'open', keyAndIv: Buffer): Buffer {
  const length = parameters.readUInt16BE(0);
  const [key, iv] = [keyAndIv.subarray(0, AES_KEY_BYTES), keyAndIv.subarray(AES_KEY_BYTES)];
  const cipher = way === 'seal' ? createCipheriv(CFB, key, iv) : createDecipheriv(CFB, key, iv);
  const first = cipher.update(parameters.subarray(2, 2 + length));
  keyAndIv.fill(0);
  return Buffer.concat([u16(length), first, parameters.subarray(2 + length)]);
}

function isSet(attributes: number, flag: number): boolean {
  return (attributes & flag) !== 0;
}
