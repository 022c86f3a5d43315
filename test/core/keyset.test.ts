import { describe, expect, test } from 'vitest';
import { deriveMacaroonKey } from '../../src/core/macaroon/chain.ts';
import { parseKeysetDocument } from '../../src/core/macaroon/keyset.ts';

const SECRET = Buffer.alloc(16, 0xa5);
const secret_b64 = SECRET.toString('base64');
const parsed = (document: unknown): Map<string, Buffer> => parseKeysetDocument(Buffer.from(JSON.stringify(document)));

describe('a key set', () => {
  test('gives the macaroon key of each secret, by its id', () => {
    const other = Buffer.alloc(64, 7);
    const id = `${'aZ09_-'.repeat(10)}aZ09`;
    expect([...parsed({ keys: [{ id: 'k1', secret_b64 }, { secret_b64: other.toString('base64'), id }] })]).toEqual([['k1', deriveMacaroonKey(SECRET)], [id, deriveMacaroonKey(other)]]);
    expect(parsed({ keys: [] }).size).toBe(0);
  });

  test.each([
    ['no keys', {}],
    ['keys that are no list', { keys: { id: 'k1', secret_b64 } }],
    ['a field besides', { keys: [], version: 1 }],
    ['a key that is null', { keys: [null] }],
    ['a key that is text', { keys: ['k1'] }],
    ['a key without an id', { keys: [{ secret_b64 }] }],
    ['a key without an id, and another field', { keys: [{ name: 'k1', secret_b64 }] }],
    ['a key without a secret', { keys: [{ id: 'k1' }] }],
    ['a key without a secret, and another field', { keys: [{ id: 'k1', secret: secret_b64 }] }],
    ['a key with a field besides', { keys: [{ id: 'k1', secret_b64, note: '' }] }],
    ['an id that is no text', { keys: [{ id: 1, secret_b64 }] }],
    ['a secret that is no text', { keys: [{ id: 'k1', secret_b64: 1 }] }],
    ['an empty id', { keys: [{ id: '', secret_b64 }] }],
    ['an id of 65 characters', { keys: [{ id: 'k'.repeat(65), secret_b64 }] }],
    ['an id with a dot', { keys: [{ id: 'k.1', secret_b64 }] }],
    ['an id with a line end', { keys: [{ id: 'k1\n', secret_b64 }] }],
    ['an id with something before it', { keys: [{ id: '/k1', secret_b64 }] }],
    ['an id twice', { keys: [{ id: 'k1', secret_b64 }, { id: 'k1', secret_b64: Buffer.alloc(16).toString('base64') }] }],
  ])('with %s is refused, and nothing of it is repeated', (_what, document) => {
    expect(() => parsed(document)).toThrow(expect.objectContaining({ message: 'a key set is {"keys":[{"id","secret_b64"}]}, each id once' }));
  });

  test('has secrets of 16 bytes or more, in base64 with padding', () => {
    expect(() => parsed({ keys: [{ id: 'k1', secret_b64: Buffer.alloc(15, 1).toString('base64') }] })).toThrow('a key of the key set is shorter than 16 bytes');
    expect(() => parsed({ keys: [{ id: 'k1', secret_b64: secret_b64.replaceAll('=', '') }] })).toThrow('the request is not well formed');
  });
});
