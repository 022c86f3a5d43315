/** What comes from the process of the module, held against what it may say: a vendor's code runs in it. */
import type { FaultKind } from './faults.ts';
import type { FromToken, KeyAttributes, TokenAnswer, TokenCall, TokenCalls, TokenFacts } from './protocol.ts';
import { AEAD_TAG_BYTES } from '../../core/algorithm/table.ts';

const POINT_BYTES = 32;
const ED25519_SIGNATURE_BYTES = 64;
const SHARED_SECRET_BYTES = 32;
/** A list that is said to be longer would be gone through for minutes. */
const LIST_MAX = 65_536;

/** A message of it; undefined where it is none. */
export function readMessage(message: unknown): FromToken | undefined {
  if (!isObject(message)) return undefined;
  if (message['opened'] === true) return { opened: true };
  if (typeof message['refused'] === 'string') return { refused: message['refused'] };
  const { answers } = message;
  return isListOf(answers, isAnswer) ? { answers: answers as readonly TokenAnswer[] } : undefined;
}

const KINDS: ReadonlySet<unknown> = new Set<FaultKind>(['gone', 'held', 'failed']);

function isAnswer(answer: unknown): boolean {
  if (!isObject(answer) || !Number.isSafeInteger(answer['id'])) return false;
  return 'value' in answer || (KINDS.has(answer['fault']) && typeof answer['why'] === 'string');
}

/** Whether the value is one that this call gives. */
export function isValueOf({ call, args }: Pick<TokenCall, 'call' | 'args'>, value: unknown): boolean {
  return fits[call](value, args);
}

const fits: Readonly<Record<keyof TokenCalls, (value: unknown, args: readonly unknown[]) => boolean>> = {
  probe: isAnything,
  makeEd25519: (value) => isBytes(value, POINT_BYTES),
  makeX25519: (value) => isBytes(value, POINT_BYTES),
  makeAes256: isAnything,
  sign: (value) => isBytes(value, ED25519_SIGNATURE_BYTES),
  derive: (value) => value === undefined || isBytes(value, SHARED_SECRET_BYTES),
  encrypt: (value, [, , , plaintext]) => isBytes(value, lengthOf(plaintext) + AEAD_TAG_BYTES),
  decrypt: (value, [, , , ciphertext]) => value === undefined || isBytes(value, lengthOf(ciphertext) - AEAD_TAG_BYTES),
  destroy: isAnything,
  haveOwnKeys: isAnything,
  attributesOf: (value) => value === undefined || (isObject(value) && ATTRIBUTES.every((name) => typeof value[name] === 'boolean')),
  facts: (value) => isObject(value) && TEXTS.every((name) => typeof value[name] === 'string') && isListOf(value['mechanisms'], Number.isSafeInteger),
  readData: (value) => isListOf(value, (one) => one instanceof Uint8Array),
  writeData: isAnything,
};

const ATTRIBUTES = ['token', 'private', 'sensitive', 'always_sensitive', 'extractable', 'never_extractable', 'local'] as const satisfies readonly (keyof KeyAttributes)[];
const TEXTS = ['label', 'manufacturer', 'model', 'serial', 'firmware', 'slot'] as const satisfies readonly (keyof TokenFacts)[];

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isBytes(value: unknown, length: number): boolean {
  return value instanceof Uint8Array && value.length === length;
}

function isListOf(value: unknown, isOne: (one: unknown) => boolean): boolean {
  return Array.isArray(value) && value.length <= LIST_MAX && Array.from<unknown>(value).every(isOne);
}

function lengthOf(bytes: unknown): number {
  return bytes instanceof Uint8Array ? bytes.length : 0;
}

/** Nobody looks at it. */
function isAnything(): boolean {
  return true;
}
