import { readFileSync } from 'node:fs';
import { createPublicKey, verify } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatCheckpoint, parseCheckpoint } from '../../client/src/log/checkpoint.ts';
import { cosignatureV1Message, cosignedMessage, encodeTimestamped, parseTimestamped } from '../../client/src/log/cosignature.ts';
import { formatSignature, parseNote } from '../../client/src/log/note.ts';
import { verifyCheckpointNote } from '../../client/src/log/verify-note.ts';
import { formatVkey, parseVkey, vkeyOf } from '../../client/src/log/vkey.ts';
import { nobleAccepts, slowCheckpoint, slowCosignedMessage, slowLogKeys, slowNote } from '../harness/slow-log.ts';

const ORIGIN = 'ron-kms/01932c07-2b4e-7c55-9a2f-0123456789ab';
const TIME = 1_790_000_000;
const checkpoint = { origin: ORIGIN, size: 20_852_163, rootHash: Buffer.alloc(32, 0xab) };
const ours = slowLogKeys(ORIGIN, 1);
const next = slowLogKeys(ORIGIN, 3);
const witness = slowLogKeys('witness.example/w1', 5);
const note = slowNote(checkpoint, TIME, ours);

function keysOf(...vkeys: readonly string[]) {
  return vkeys.map((vkey) => {
    const key = parseVkey(vkey);
    if (key === undefined) throw new Error(`${vkey.slice(0, 40)} is no vkey`);
    return key;
  });
}

/** The README of Go's sumdb/note. */
const GO_VKEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const GO_NOTE = 'If you think cryptography is the answer to your problem,\nthen you don\'t know what your problem is.\n\n'
  + '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';

describe('verifier keys', () => {
  test('are read and written', () => {
    for (const vkey of [GO_VKEY, ...ours.vkeys, ours.witnessVkey]) {
      const [key] = keysOf(vkey);
      expect(key && formatVkey(key)).toBe(vkey);
      expect(key && vkeyOf(key.name, key.type, key.publicKey)).toEqual(key);
    }
    expect(keysOf(...ours.vkeys).map(({ type }) => type)).toEqual([1, 6]);
  });

  const [ed, mlDsa] = ours.vkeys;
  const rest = ed.slice(ORIGIN.length);
  test.each([
    ['nothing', ''], ['a name', ORIGIN], ['no name', rest], ['another name', `x${ed}`], ['a space in the name', `a b${rest}`], ['a control character in the name', `a\u0007${rest}`],
    ['a name too long for a length of one byte', `${'n'.repeat(256)}${rest}`],
    ['another key id', ed.replace(/\+[0-9a-f]/, (at) => (at === '+0' ? '+1' : '+0'))], ['a key id in capitals', GO_VKEY.replace('c74f20a3', 'C74F20A3')],
    ['base64 without its padding', mlDsa.replace(/=+$/, '')], ['base64 with stray bits', `${ed.slice(0, -1)}${ed.endsWith('A') ? 'B' : 'A'}`], ['no key', `${ORIGIN}+00000000+AQ==`],
    ['a key too short', `${ORIGIN}+00000000+${Buffer.alloc(32, 1).toString('base64')}`], ['a type not known', `${ORIGIN}+00000000+${Buffer.alloc(33, 2).toString('base64')}`],
    ['a type that objects have', `${ORIGIN}+00000000+${Buffer.alloc(33).toString('base64')}`], ['a line break', `${ed}\n`],
  ])('with %s are none', (_what, text) => {
    expect(parseVkey(text)).toBeUndefined();
  });

  test('are not made of what is no key', () => {
    expect(() => vkeyOf('a+b', 1, Buffer.alloc(32))).toThrow(RangeError);
    expect(() => vkeyOf('a', 6, Buffer.alloc(32))).toThrow(RangeError);
  });
});

describe('notes', () => {
  test('of Go are read, and their Ed25519 signature is over the text', () => {
    const parsed = parseNote(GO_NOTE);
    const [key] = keysOf(GO_VKEY);
    const [line] = parsed?.signatures ?? [];
    expect(line?.keyId).toEqual(key?.keyId);
    const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key?.publicKey ?? Buffer.alloc(0)]);
    expect(verify(null, Buffer.from(parsed?.text ?? ''), createPublicKey({ key: spki, format: 'der', type: 'spki' }), line?.signature ?? Buffer.alloc(64))).toBe(true);
    expect(line && formatSignature(line)).toBe(GO_NOTE.slice(GO_NOTE.indexOf('—')));
  });

  test('may have empty lines in their text', () => {
    expect(parseNote(`a\n\nb\n\n${ours.ed25519Line('a')}`)?.text).toBe('a\n\nb\n');
  });

  const line = ours.ed25519Line('text');
  test.each([
    ['nothing', ''], ['no signature', 'text\n\n'], ['no empty line', `text\n${line}`], ['no last newline', `text\n\n${line.trimEnd()}`], ['more behind', `text\n\n${line}more\n`], ['an empty line behind', `text\n\n${line}\n`],
    ['a tab', `te\txt\n\n${line}`], ['a carriage return', `text\r\n\n${line}`], ['a NUL', `text\0\n\n${line}`],
    ['a hyphen for a dash', `text\n\n${line.replace('—', '-')}`], ['two spaces', `text\n\n${line.replace('— ', '—  ')}`], ['no name', `text\n\n— ${line.split(' ')[2]}`], ['a plus in the name', `text\n\n${line.replace('ron', 'r+n')}`],
    ['a no-break space in the name', `text\n\n${line.replace('ron', 'r\u00a0n')}`], ['base64 that is none', `text\n\n— name ****\n`], ['base64 without padding', 'text\n\n— name AAAAAAA\n'], ['a key id and no signature', 'text\n\n— name AAAAAA==\n'],
    ['65 signatures', `text\n\n${line.repeat(65)}`],
  ])('with %s are none', (_what, text) => {
    expect(parseNote(text)).toBeUndefined();
  });

  test('have up to 64 signatures', () => {
    expect(parseNote(`text\n\n${line.repeat(64)}`)?.signatures).toHaveLength(64);
  });

  test('are read or refused, never choked on', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.tuple(fc.nat(note.length), fc.string({ unit: 'binary' })).map(([at, put]) => note.slice(0, at) + put + note.slice(at + 1))), (text) => {
      const parsed = parseNote(text);
      if (parsed !== undefined) expect(`${parsed.text}\n${parsed.signatures.map(formatSignature).join('')}`).toBe(text);
      verifyCheckpointNote(text, keysOf(...ours.vkeys));
    }));
  });
});

describe('checkpoints', () => {
  test('are three lines', () => {
    expect(formatCheckpoint(checkpoint)).toBe(slowCheckpoint(checkpoint));
    expect(parseCheckpoint(formatCheckpoint(checkpoint))).toEqual(checkpoint);
    fc.assert(fc.property(fc.maxSafeNat(), fc.uint8Array({ minLength: 32, maxLength: 32 }), (size, root) => {
      const one = { origin: ORIGIN, size, rootHash: Buffer.from(root) };
      expect(parseCheckpoint(formatCheckpoint(one))).toEqual(one);
    }));
  });

  const [origin = '', size = '', root = ''] = slowCheckpoint(checkpoint).split('\n');
  test.each([
    ['nothing', ''], ['two lines', `${origin}\n${size}\n`], ['an extension line', `${origin}\n${size}\n${root}\nmore\n`], ['no last newline', `${origin}\n${size}\n${root}`], ['no origin', `\n${size}\n${root}\n`],
    ['an origin too long to be cosigned', `${'ö'.repeat(128)}\n${size}\n${root}\n`], ['a leading zero', `${origin}\n01\n${root}\n`], ['a sign', `${origin}\n+1\n${root}\n`], ['an exponent', `${origin}\n1e3\n${root}\n`], ['a size beyond what numbers hold', `${origin}\n9007199254740992\n${root}\n`],
    ['no size', `${origin}\n\n${root}\n`], ['a short root', `${origin}\n1\nAAAA\n`], ['a root in base64url', `${origin}\n1\n${root.replaceAll('+', '-').replaceAll('/', '_').replace('q', '-')}\n`], ['no root', `${origin}\n1\n\n`],
  ])('with %s are none', (_what, text) => {
    expect(parseCheckpoint(text)).toBeUndefined();
  });
});

describe('cosigned messages', () => {
  test('are what tlog-cosignature says, byte by byte', () => {
    const message = cosignedMessage({ cosignerName: 'w', timestampS: 1, origin: 'log', start: 0, end: 258, hash: Buffer.alloc(32, 0xee) });
    expect(message.toString('hex')).toBe(['737562747265652f76310a00', '0177', '0000000000000001', '036c6f67', '0000000000000000', '0000000000000102', 'ee'.repeat(32)].join(''));
    expect(cosignedMessage({ cosignerName: ORIGIN, timestampS: TIME, origin: ORIGIN, start: 0, end: checkpoint.size, hash: checkpoint.rootHash })).toEqual(slowCosignedMessage(ORIGIN, TIME, checkpoint));
    expect(cosignatureV1Message(7, 'a\nb\n').toString()).toBe('cosignature/v1\ntime 7\na\nb\n');
    expect(() => cosignedMessage({ cosignerName: '', timestampS: 1, origin: 'log', start: 0, end: 1, hash: Buffer.alloc(32) })).toThrow(RangeError);
  });

  test('stand behind their time in a signature line', () => {
    const signed = { timestampS: TIME, signature: Buffer.from('abc') };
    expect(parseTimestamped(encodeTimestamped(signed))).toEqual(signed);
    expect(parseTimestamped(Buffer.alloc(8))).toBeUndefined();
    expect(parseTimestamped(Buffer.alloc(9, 0xff))).toBeUndefined();
  });
});

describe('a signed checkpoint', () => {
  const keys = keysOf(...ours.vkeys);
  const fault = (given: string, ...vkeys: readonly string[]): string => {
    const verified = verifyCheckpointNote(given, vkeys.length === 0 ? keys : keysOf(...vkeys));
    return 'fault' in verified ? verified.fault : 'none';
  };

  test('of a log that signs with another library holds under both keys, and says when it was signed', () => {
    expect(verifyCheckpointNote(note, keys)).toEqual({ checkpoint, signedBy: keys, timestampS: TIME });
    expect(keys[1] && nobleAccepts(note, keys[1])).toBe(true);
  });

  test('of torchwood, with ML-DSA-44 alone, holds under its published key', () => {
    const { vkey, note } = JSON.parse(readFileSync(new URL('../vectors/torchwood-mldsa.json', import.meta.url), 'utf8')) as { vkey: string; note: string };
    expect(verifyCheckpointNote(note, keysOf(vkey))).toMatchObject({ checkpoint: { origin: 'example.com/mldsa-log', size: 1 }, timestampS: 0 });
    expect(fault(note.replace('\n1\n', '\n2\n'), vkey)).toMatch(/^the signature of example.com\/mldsa-log .* does not hold$/);
  });

  test('needs both signatures where keys of both kinds are known, and the one where only one is', () => {
    const text = slowCheckpoint(checkpoint);
    const [edVkey, mlDsaVkey] = ours.vkeys;
    const edOnly = `${text}\n${ours.ed25519Line(text)}`;
    const mlDsaOnly = `${text}\n${ours.mlDsaLine(checkpoint, TIME)}`;
    expect(fault(edOnly)).toBe('no known ML-DSA-44 key of the log signed this checkpoint');
    expect(fault(mlDsaOnly)).toBe('no known Ed25519 key of the log signed this checkpoint');
    expect(fault(edOnly, edVkey)).toBe('none');
    expect(fault(mlDsaOnly, mlDsaVkey)).toBe('none');
    expect(fault(edOnly, mlDsaVkey)).toBe('no known ML-DSA-44 key of the log signed this checkpoint');
  });

  test('holds through a change of keys for who knows the old, the new or both', () => {
    const both = slowNote(checkpoint, TIME, ours, next);
    for (const vkeys of [ours.vkeys, next.vkeys, [...ours.vkeys, ...next.vkeys]]) {
      const known = keysOf(...vkeys);
      expect(verifyCheckpointNote(both, known)).toMatchObject({ signedBy: expect.arrayContaining(known) });
    }
    expect(fault(slowNote(checkpoint, TIME, ours), ...next.vkeys)).toMatch(/^no known Ed25519 key/);
    expect(fault(slowNote(checkpoint, TIME, next), ...ours.vkeys, ...next.vkeys)).toBe('none');
  });

  test('does not hold once any part that is signed is another', () => {
    for (const bad of [note.replace('20852163', '20852164'), note.replace('q6ur', 'q7ur')]) {
      expect(bad).not.toBe(note);
      expect(fault(bad)).toMatch(/does not hold$/);
    }
  });

  test('is spoiled by any bit of a known signature, its time too', () => {
    const lines = note.split('\n');
    fc.assert(fc.property(fc.integer({ min: 4, max: 5 }), fc.nat(), fc.nat(7), (at, where, bit) => {
      const [dash, name, encoded = ''] = (lines[at] ?? '').split(' ');
      const bytes = Buffer.from(encoded, 'base64');
      const i = 4 + (where % (bytes.length - 4));
      bytes.writeUInt8(bytes.readUInt8(i) ^ (1 << bit), i);
      expect(fault(lines.with(at, `${dash} ${name} ${bytes.toString('base64')}`).join('\n'))).toMatch(/does not hold$/);
    }), { numRuns: 60 });
    expect(fault(`${note}${slowNote(checkpoint, TIME + 1, ours).split('\n').slice(4, 5).join('\n')}\n`)).toBe('none');
    const short = Buffer.concat([keys[1]?.keyId ?? Buffer.alloc(4), Buffer.alloc(3)]).toString('base64');
    expect(fault(`${note}— ${ORIGIN} ${short}\n`)).toMatch(/does not hold$/);
  });

  test('is not spoiled by signatures of keys nobody knows, same name or same key id', () => {
    const unknown = `— ${ORIGIN} ${Buffer.alloc(68).toString('base64')}\n`;
    const sameId = formatSignature({ name: 'other.example', keyId: keys[0]?.keyId ?? Buffer.alloc(4), signature: Buffer.alloc(64) });
    expect(verifyCheckpointNote(`${note}${unknown}${sameId}`, keys)).toMatchObject({ signedBy: keys });
  });

  test('carries witnesses, who count only beside the log itself', () => {
    const text = slowCheckpoint(checkpoint);
    const witnessed = `${note}${witness.witnessLine(text, TIME)}${witness.mlDsaLine(checkpoint, TIME + 9)}`;
    const known = [...ours.vkeys, witness.witnessVkey, witness.vkeys[1]];
    expect(verifyCheckpointNote(witnessed, keysOf(...known))).toEqual({ checkpoint, signedBy: keysOf(...known), timestampS: TIME });
    expect(fault(witnessed, witness.witnessVkey, witness.vkeys[1])).toBe(`no key of the log ${ORIGIN} was given`);
    expect(fault(witnessed.replace(`time ${TIME}`, ''), ...known)).toBe('none');
    expect(fault(`${note}${witness.witnessLine(`${text}more\n`, TIME)}`, ...known)).toMatch(/^the signature of witness.example\/w1 \(Ed25519 cosignature, [0-9a-f]{8}\) does not hold$/);
  });

  test('of another log, or of nobody, says so', () => {
    const other = slowLogKeys('ron-kms/other', 1);
    expect(fault(slowNote({ ...checkpoint, origin: 'ron-kms/other' }, TIME, other))).toBe('no key of the log ron-kms/other was given');
    // A key that signs for one log is none of another's, even where it is the same key.
    expect(fault(slowNote({ ...checkpoint, origin: 'ron-kms/other' }, TIME, ours))).toBe('no key of the log ron-kms/other was given');
    for (const bad of ['', GO_NOTE, note.replace(ORIGIN, `${ORIGIN}\nmore`)]) expect(fault(bad)).toBe('this is not a signed checkpoint');
  });
});
