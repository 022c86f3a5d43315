import { describe, expect, test } from 'vitest';
import { blake3Hex } from '../../src/core/digest.ts';
import { messageOf } from '../../src/core/payload.ts';

/** Of BLAKE3's own list: the empty input, and `abc`. */
const OF_NOTHING = 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262';
const OF_ABC = '6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85';

test('a digest is BLAKE3 of the bytes that are given: of a text, of a buffer, and of a part of one', () => {
  expect(['', Buffer.alloc(0), 'abc', Buffer.from('abc'), Buffer.from('xabcx').subarray(1, 4), new Uint8Array([1, 0x61, 0x62, 0x63]).subarray(1)].map(blake3Hex))
    .toEqual([OF_NOTHING, OF_NOTHING, OF_ABC, OF_ABC, OF_ABC, OF_ABC]);
});

describe('what is signed', () => {
  const abc = Buffer.from('abc');

  test('is the digest for a b3 key, whether the caller sends the payload or its digest', () => {
    const expected = { message: Buffer.from(OF_ABC, 'hex'), digestHex: OF_ABC };
    expect([messageOf('b3', { bytes: abc }), messageOf('b3', { digestHex: OF_ABC })]).toEqual([expected, expected]);
  });

  test('is the payload itself for a raw key, which cannot take a digest for it', () => {
    expect(messageOf('raw', { bytes: abc })).toEqual({ message: abc, digestHex: OF_ABC });
    expect(() => messageOf('raw', { digestHex: OF_ABC })).toThrow(expect.objectContaining({ code: 'Unsupported', hint: 'a key with input raw signs the payload itself: send payload_b64' }));
  });
});
