import { serialize, deserialize } from 'node:v8';
import { describe, expect, test } from 'vitest';
import { isValueOf, readMessage } from '../../src/adapters/custody-pkcs11/answers.ts';

const NOTHING = new Uint8Array();
const isAnswerTo = (call: Parameters<typeof isValueOf>[0]['call'], value: unknown, given = 16): boolean => isValueOf({ call, args: ['label', NOTHING, NOTHING, new Uint8Array(given)] }, value);

describe('what the process of a PKCS #11 module says', () => {
  test.each([
    { opened: true }, { refused: 'no' }, { answers: [] }, { answers: [{ id: 1, value: undefined }, { id: 2, fault: 'gone', why: 'pulled out' }] },
  ])('%j is taken, as it comes over IPC', (message) => {
    expect(readMessage(deserialize(serialize(message)))).toEqual(message);
  });

  test.each([
    undefined, null, 1, 'opened', [], {}, { opened: 1 }, { refused: 1 }, { answers: {} }, { answers: [null] }, { answers: [{ value: 1 }] }, { answers: [{ id: '1', value: 1 }] },
    { answers: [{ id: 1 }] }, { answers: [{ id: 1, fault: 'other', why: '' }] }, { answers: [{ id: 1, fault: 'gone' }] },
  ])('%s is none of its messages', (message) => {
    expect(readMessage(message)).toBeUndefined();
  });

  test('nor is a list with holes, or one that is said to have more than anybody asked', () => {
    expect([1, 2 ** 32 - 1].map((length) => readMessage({ answers: Object.assign([], { length }) }) === undefined)).toEqual([true, true]);
  });

  test('bytes are as long as they have to be', () => {
    for (const [call, length] of [['makeEd25519', 32], ['makeX25519', 32], ['sign', 64], ['derive', 32], ['encrypt', 32], ['decrypt', 0]] as const) {
      expect([call, [length - 1, length, length + 1].map((one) => one >= 0 && isAnswerTo(call, new Uint8Array(one)))]).toEqual([call, [false, true, false]]);
      expect(isAnswerTo(call, 'x'.repeat(length))).toBe(false);
    }
    expect([isAnswerTo('derive', undefined), isAnswerTo('decrypt', undefined), isAnswerTo('sign', undefined)]).toEqual([true, true, false]);
  });

  test('attributes are all there, as yes or no; facts are texts; data are bytes', () => {
    const attributes = { token: true, private: true, sensitive: true, always_sensitive: true, extractable: false, never_extractable: true, local: true };
    expect([attributes, undefined, { ...attributes, local: 1 }, { token: true }, null].map((value) => isAnswerTo('attributesOf', value))).toEqual([true, true, false, false, false]);
    const facts = { label: '', manufacturer: '', model: '', serial: '', firmware: '1.0', slot: '', mechanisms: [1] };
    expect([facts, { ...facts, label: undefined }, { ...facts, mechanisms: ['1'] }].map((value) => isAnswerTo('facts', value))).toEqual([true, false, false]);
    expect([[], [NOTHING], ['x'], NOTHING].map((value) => isAnswerTo('readData', value))).toEqual([true, true, false, false]);
  });
});
