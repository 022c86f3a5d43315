/** Values grown from the schemas of the wire, as /openapi.json shows them. */
import type { Random } from './engine.ts';

export type Schema = Readonly<Record<string, any>>;

/** What stands for a key, a signature or a wrapped key of the server (http-target.ts). */
export const KEY_MARKS = ['@a', '@b', '@c', '@d', '@e', '@f', '@g', '@h', '@i', '@j', '@k', '@l'] as const;
export const SIGNATURE_MARK = '@S';
export const WRAPPED_MARK = '@W';

const names = ['core', 'audit', 'kem', 'wrap-1', 'ron-kms', '*', 'a'.repeat(63), ''];
const durations = ['0ms', '1s', '1000ms', '7d', '3650d', '999999999999d', '24h', '01s'];
const digest = '0123456789abcdef'.repeat(4);

/** A value that mostly fits; `name` is the member's. */
export function grow(schema: Schema, random: Random, name = ''): unknown {
  const { below, oneOf } = random;
  if (schema['enum'] !== undefined) return oneOf(schema['enum'] as unknown[]);
  if (schema['anyOf'] !== undefined) return grow(oneOf(schema['anyOf'] as Schema[]), random, name);
  if (schema['const'] !== undefined) return schema['const'];
  if (schema['type'] === 'string') return growText(schema, random, name);
  if (schema['type'] === 'boolean') return below(2) === 0;
  if (schema['type'] === 'null') return null;
  if (schema['type'] === 'integer') {
    const { minimum = 0, maximum = 2 ** 31 } = schema as { minimum?: number; maximum?: number };
    return oneOf([minimum, maximum, minimum + below(8), minimum - 1, maximum + 1]);
  }
  if (schema['type'] === 'array') return Array.from({ length: oneOf([1, 1, 2, 3, 0, 17]) }, () => grow(schema['items'] as Schema, random, name));
  if (schema['patternProperties'] !== undefined) return Object.fromEntries(Array.from({ length: below(4) }, (_, i) => [`l${i}`, oneOf(['x', '', 'a:b', 'é'])]));
  const required = new Set((schema['required'] ?? []) as string[]);
  const members = Object.entries((schema['properties'] ?? {}) as Record<string, Schema>);
  return Object.fromEntries(members.filter(([member]) => required.has(member) || below(2) === 0).map(([member, inner]) => [member, grow(inner, random, member)]));
}

function growText({ pattern, maxLength }: Schema, random: Random, name: string): string {
  const { below, oneOf } = random;
  const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => below(256)));
  if (name.startsWith('kid')) return oneOf(KEY_MARKS) + oneOf(['', '', '#v1', '#v2', '#v99', '#v0']);
  if (name === 'wrapped_b64') return oneOf([WRAPPED_MARK, bytes(below(80)).toString('base64')]);
  if (name === 'signature_b64') return oneOf([SIGNATURE_MARK, bytes(64).toString('base64')]);
  if (name === 'nonce_b64') return bytes(oneOf([12, 12, 11, 13])).toString('base64');
  if (name.endsWith('_b64')) return bytes(oneOf([0, 8, 32, below(64), 255, 256, below(300)])).toString('base64');
  if (name === 'payload_b3') return digest;
  if (name === 'op_id') return `op${below(4)}`;
  if (name === 'alg') return oneOf(['ed25519', 'ml-dsa', 'mldsa65-ed25519-sha512', 'x25519', 'rsa']);
  if (name === 'parameter_set') return oneOf(['ML-DSA-44', 'ML-DSA-65', 'ML-DSA-87', 'ML-KEM-768', 'ML-KEM-1024']);
  if (name === 'tenant' || name === 'purpose') return oneOf(names);
  if (name === 'label') return oneOf(['l0:x', 'l0:', ':']);
  if (name === 'op') return oneOf(['sign', 'create', 'refusals']);
  if (name === 'result') return oneOf(['ok', 'intent', 'NotFound']);
  if (String(pattern).includes('ms|s|m|h|d')) return oneOf(durations);
  if (String(pattern).includes('[0-9]')) return String(oneOf([0, 1, 2, 5, 100, 1000, 1001, below(64)]));
  return 'x'.repeat(Math.min(oneOf([1, 8, 33]), Number(maxLength ?? 33)));
}
