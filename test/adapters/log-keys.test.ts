import { hkdf } from '@noble/hashes/hkdf.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { ed25519 } from '@noble/curves/ed25519.js';
import { ml_dsa44 } from '@noble/post-quantum/ml-dsa.js';
import canonicalize from 'canonicalize';
import { describe, expect, test } from 'vitest';
import { parseNote } from '../../client/src/log/note.ts';
import { verifyCheckpointNote } from '../../client/src/log/verify-note.ts';
import { formatIdentity, readIdentity } from '../../src/adapters/log-keys/identity.ts';
import { createMemoryLogSigner, openLogSigner } from '../../src/adapters/log-keys/open.ts';
import { makeRootKey } from '../../src/adapters/root-key/root-key.ts';
import { FIRST_EPOCH, rootKeysOf } from '../../src/adapters/root-key/root-keys.ts';
import { REVEAL } from '../../src/core/reveal.ts';
import { withOneBitFlipped } from '../harness/bits.ts';
import { DAY_MS, headAt, idsOf, INSTANCE, linesOf, memory, newLog, ORIGIN, OTHER, OVERLAP_MS, rotate, signatures, START_MS, vkeysOf } from '../harness/log-keys.ts';

describe('the notes of a log', () => {
  test('are signed by both its keys, Ed25519 first, and hold for a verifier and for noble', async () => {
    const { signer } = await newLog();
    const note = await signer.sign(headAt(7), START_MS + 5999);
    expect(signer.origin).toBe(ORIGIN);
    expect(signer.keys().map(({ alg, fromIndex }) => [alg, fromIndex])).toEqual([['ed25519', 0], ['ml-dsa-44', 0]]);
    expect(linesOf(note)).toEqual(idsOf(signer));
    expect(verifyCheckpointNote(note, vkeysOf(signer))).toMatchObject({ checkpoint: { size: 7 }, timestampS: START_MS / 1000 + 5 });

    const [classical, pq] = parseNote(note)?.signatures ?? [];
    const [classicalKey, pqKey] = vkeysOf(signer);
    const text = `${ORIGIN}\n7\n${Buffer.alloc(32, 7).toString('base64')}\n`;
    expect(ed25519.verify(classical?.signature ?? Buffer.alloc(0), Buffer.from(text), classicalKey?.publicKey ?? Buffer.alloc(0))).toBe(true);
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(BigInt(START_MS / 1000 + 5));
    const [name, size] = [Buffer.concat([Buffer.of(ORIGIN.length), Buffer.from(ORIGIN)]), Buffer.from('0000000000000007', 'hex')];
    const message = Buffer.concat([Buffer.from('subtree/v1\n\0'), name, time, name, Buffer.alloc(8), size, Buffer.alloc(32, 7)]);
    expect(pq?.signature.subarray(0, 8)).toEqual(time);
    expect(ml_dsa44.verify(pq?.signature.subarray(8) ?? Buffer.alloc(0), message, pqKey?.publicKey ?? Buffer.alloc(0))).toBe(true);
  });

  test('are of this log only', async () => {
    const { signer } = await newLog();
    await expect(signer.sign(headAt(7, `ron-kms/${OTHER}`), START_MS)).rejects.toThrow(/own checkpoints/);
  });
});

describe('the keys of a log', () => {
  test('are there again after a restart, and the log\'s MAC with them', async () => {
    const { signer, reopen } = await newLog();
    const again = await reopen();
    expect(again.keys()).toEqual(signer.keys());
    expect(again.newestMs()).toBe(START_MS);
    expect(again.mac(Buffer.from('state'))).toEqual(signer.mac(Buffer.from('state')));
    expect(verifyCheckpointNote(await again.sign(headAt(9), START_MS), vkeysOf(signer))).toHaveProperty('checkpoint.size', 9);
  });

  test('lie as the file says, for an implementation that is not ours', async () => {
    const { file, rootKey, signer } = await newLog();
    const { mac_b64: mac, ...content } = JSON.parse(file.text) as Record<string, any>;
    const derived = (info: string) => hkdf(sha256, rootKey.read(REVEAL), Buffer.from(INSTANCE), Buffer.from(info), 32);
    expect(Buffer.from(hmac(sha256, derived('ron-kms::ron-kms::audit::log-keys-file'), Buffer.from(canonicalize(content) ?? ''))).toString('base64')).toBe(mac);
    expect(Buffer.from(hmac(sha256, derived('ron-kms::ron-kms::audit::state'), Buffer.from('x')))).toEqual(signer.mac(Buffer.from('x')));
    const seeds = (content['sets'][0].keys as { vkey: string; nonce_b64: string; sealed_b64: string }[]).map(({ vkey, nonce_b64: nonce, sealed_b64: sealed }) => {
      const aad = `ron-kms/log-keys/v1\n${canonicalize({ instance_id: INSTANCE, position: 0, vkey })}`;
      return chacha20poly1305(derived('ron-kms::ron-kms::audit::log-keys'), Buffer.from(nonce, 'base64'), Buffer.from(aad)).decrypt(Buffer.from(sealed, 'base64'));
    });
    expect(Buffer.from(ed25519.getPublicKey(seeds[0] ?? Buffer.alloc(0)))).toEqual(vkeysOf(signer)[0]?.publicKey);
    expect(Buffer.from(ml_dsa44.keygen(seeds[1]).publicKey)).toEqual(vkeysOf(signer)[1]?.publicKey);
    for (const seed of seeds) expect(file.text).not.toContain(Buffer.from(seed).toString('base64'));
  });

  test('do not open when one bit of any field differs', async () => {
    const { file, signer, reopen } = await newLog();
    await rotate(signer, START_MS + DAY_MS, 10);
    await signer.sign(headAt(20), START_MS + DAY_MS);
    await signer.retire(START_MS + 40 * DAY_MS, 20, '');
    await signer.prepare('command', START_MS + 41 * DAY_MS, 21);
    const right = file.text;
    const flips = withOneBitFlipped(right);
    expect(flips.map(({ where }) => where)).toEqual(expect.arrayContaining(['v', 'instance_id', 'sets.0.until', 'sets.0.until_index', 'sets.0.keys.1.vkey', 'sets.1.transition_checkpoint', 'sets.1.keys.0.sealed_b64', 'prepared.set.keys.1.nonce_b64', 'prepared.until', 'mac_b64']));
    for (const { where, text } of flips) {
      file.text = text;
      await expect(reopen(), where).rejects.toThrow(/log-keys\.json/);
    }
    file.text = right;
    expect((await reopen()).keys()).toEqual(signer.keys());
  });

  test('do not open when one is dropped, doubled, moved, or the file is cut', async () => {
    const { file, signer, reopen } = await newLog();
    await rotate(signer, START_MS, 10);
    const right = JSON.parse(file.text) as Record<string, any>;
    const [first, second] = right['sets'] as [any, any];
    const wrong = [
      { sets: [first] }, { sets: [second] }, { sets: [second, first] }, { sets: [first, second, second] }, { sets: [] },
      { sets: [{ ...first, keys: second.keys }, second] }, { sets: [{ ...first, keys: first.keys.toReversed() }, second] }, { extra: 1 }, { mac_b64: undefined }, { v: 2 },
    ].map((change) => JSON.stringify({ ...right, ...change }));
    for (const text of [...wrong, '', '{}', 'null', file.text.slice(0, -9), file.text.slice(0, 200)]) {
      file.text = text;
      await expect(reopen(), text.slice(0, 60)).rejects.toThrow(/log-keys\.json/);
    }
  });

  test('of another instance are refused, by name where it says so, also under the same root key', async () => {
    const one = await newLog();
    const other = await newLog(OTHER, one.rootKey);
    expect(one.signer.mac(Buffer.from('x'))).not.toEqual(other.signer.mac(Buffer.from('x')));
    const own = one.file.text;
    one.file.text = other.file.text;
    await expect(one.reopen()).rejects.toThrow(`the keys of another log, ron-kms/${OTHER}`);
    one.file.text = other.file.text.replaceAll(OTHER, INSTANCE);
    await expect(one.reopen()).rejects.toThrow(/does not authenticate/);
    one.file.text = own;
    await expect(openLogSigner({ ...one.deps, rootKeys: rootKeysOf([{ epoch: FIRST_EPOCH, key: makeRootKey(memory) }], INSTANCE, memory) })).rejects.toThrow(/the root key is not its own/);
  });

  test('in RAM are other ones at each start, and sign all the same', async () => {
    const deps = { signatures, memory, keyOverlapMs: OVERLAP_MS, nowMs: START_MS };
    const [one, other] = [await createMemoryLogSigner({ ...deps, instanceId: INSTANCE }), await createMemoryLogSigner({ ...deps, instanceId: OTHER })];
    expect(one.keys()[0]?.vkey).not.toBe(other.keys()[0]?.vkey);
    expect(verifyCheckpointNote(await one.sign(headAt(3), START_MS), vkeysOf(one))).toHaveProperty('checkpoint.size', 3);
    await rotate(one, START_MS, 4);
    expect(one.keys()).toHaveLength(4);
  });
});

describe('a change of keys', () => {
  test('is signed by every key before, over the new ones', async () => {
    const { signer } = await newLog();
    await rotate(signer, START_MS, 10);
    const before = vkeysOf(signer);
    const said = await signer.prepare('command', START_MS + DAY_MS, 20);
    expect(said).toMatchObject({ reason: 'command', until: '2026-02-01T00:00:00.000Z' });
    expect(said.keys).toHaveLength(2);
    expect(said.signatures?.map(({ key_id: id }) => id)).toEqual(before.map(({ keyId }) => keyId.toString('hex')));
    const message = Buffer.from(`ron-kms/log-keys/v1\n${ORIGIN}\n${said.keys.join('\n')}\n`);
    for (const [i, { publicKey, type }] of before.entries()) {
      const signature = Buffer.from(said.signatures?.[i]?.signature_b64 ?? '', 'base64');
      expect(type === 1 ? ed25519.verify(signature, message, publicKey) : ml_dsa44.verify(signature, message, publicKey)).toBe(true);
    }
  });

  test('signs nothing until it is activated; then both sign, until the overlap ends', async () => {
    const { signer, reopen } = await newLog();
    const old = idsOf(signer);
    await signer.prepare('scheduled', START_MS, 10);
    expect(signer.keys()).toHaveLength(2);
    expect(linesOf(await signer.sign(headAt(10), START_MS))).toEqual(old);
    await signer.activate(12);
    const [first, second] = [idsOf(signer, 0, 2), idsOf(signer, 2)];
    expect(signer.keys().map(({ fromIndex }) => fromIndex)).toEqual([0, 0, 12, 12]);
    for (const one of [signer, await reopen()]) {
      const note = await one.sign(headAt(13), START_MS + OVERLAP_MS - 1);
      expect(linesOf(note)).toEqual([first[0], second[0], first[1], second[1]]);
      for (const keys of [vkeysOf(one).slice(0, 2), vkeysOf(one).slice(2), vkeysOf(one)]) expect(verifyCheckpointNote(note, keys)).not.toHaveProperty('fault');
      expect(linesOf(await one.sign(headAt(14), START_MS + OVERLAP_MS))).toEqual(second);
    }
    expect(signer.newestMs()).toBe(START_MS);
  });

  test('ends with the old seeds gone, and the note that both signed kept for who comes late', async () => {
    const { signer, file, reopen } = await newLog();
    await rotate(signer, START_MS, 10);
    const both = await signer.sign(headAt(50), START_MS + OVERLAP_MS - 1);
    await signer.retire(START_MS + OVERLAP_MS - 1, 50, both);
    expect(signer.keys().some(({ untilIndex }) => untilIndex !== undefined)).toBe(false);
    // A checkpoint of the new keys alone came in between: it is not the one that shows the way.
    const alone = await signer.sign(headAt(60), START_MS + OVERLAP_MS);
    await signer.retire(START_MS + OVERLAP_MS, 60, alone);
    const keys = signer.keys();
    expect(keys.map(({ untilIndex, transitionCheckpoint }) => [untilIndex, transitionCheckpoint])).toEqual([[50, undefined], [50, undefined], [undefined, both], [undefined, both]]);
    expect(JSON.parse(file.text).sets[0].keys[0]).toEqual({ vkey: keys[0]?.vkey, alg: 'ed25519' });
    const again = await reopen();
    expect(again.keys()).toEqual(keys);
    expect(linesOf(await again.sign(headAt(70), START_MS))).toEqual(idsOf(again, 2));
    const written = file.text;
    await signer.retire(START_MS + 99 * DAY_MS, 99, '');
    expect(file.text).toBe(written);
  });

  test('over a restart takes the last checkpoint of the log for that note', async () => {
    const { signer, reopen } = await newLog();
    await rotate(signer, START_MS, 10);
    const both = await signer.sign(headAt(50), START_MS);
    const again = await reopen();
    await again.retire(START_MS + OVERLAP_MS, 50, both);
    expect(again.keys()[2]?.transitionCheckpoint).toBe(both);
    const forged = await (await newLog()).signer.sign(headAt(51), START_MS);
    const third = await reopen();
    await rotate(third, START_MS + DAY_MS, 60);
    await third.retire(START_MS + 2 * OVERLAP_MS, 70, forged);
    expect(third.keys()[4]?.transitionCheckpoint).toBeUndefined();
    expect(third.keys()[2]?.untilIndex).toBe(70);
  });

  test('after a compromise stops every key before at once, also those that were prepared', async () => {
    const { signer, file, reopen } = await newLog();
    await rotate(signer, START_MS, 10);
    const stale = await signer.prepare('scheduled', START_MS + DAY_MS, 20);
    const said = await rotate(signer, START_MS + 2 * DAY_MS, 30, 'compromised');
    expect(said.until).toBe('2026-01-03T00:00:00.000Z');
    expect(said.keys).not.toEqual(stale.keys);
    for (const one of [signer, await reopen()]) {
      expect(one.keys().map(({ untilIndex }) => untilIndex)).toEqual([30, 30, 30, 30, undefined, undefined]);
      expect(linesOf(await one.sign(headAt(31), START_MS))).toEqual(idsOf(one, 4));
    }
    expect(file.text.match(/sealed_b64/g)).toHaveLength(2);
  });

  test('four sets sign at once and no more, but a compromise always goes through', async () => {
    const { signer } = await newLog();
    for (let i = 1; i < 4; i++) await rotate(signer, START_MS + i, i);
    await expect(signer.prepare('command', START_MS + 9, 9)).rejects.toMatchObject({ code: 'KeyState' });
    expect(linesOf(await signer.sign(headAt(9), START_MS + 9))).toHaveLength(8);
    expect(verifyCheckpointNote(await signer.sign(headAt(9), START_MS + 9), vkeysOf(signer))).not.toHaveProperty('fault');
    await rotate(signer, START_MS + 9, 9, 'compromised');
    expect(linesOf(await signer.sign(headAt(10), START_MS + 10))).toHaveLength(2);
  });
});

describe('a crash in a change of keys', () => {
  test('before the entry leaves keys that are announced with the next change', async () => {
    const { signer, reopen } = await newLog();
    const said = await signer.prepare('scheduled', START_MS, 10);
    const again = await reopen();
    expect(again.prepared()).toEqual({ keys: said.keys, fromIndex: 10 });
    expect(again.keys()).toHaveLength(2);
    const next = await again.prepare('command', START_MS + DAY_MS, 33);
    expect(next).toMatchObject({ keys: said.keys, reason: 'command', until: '2026-02-01T00:00:00.000Z' });
    expect(again.prepared()?.fromIndex).toBe(10);
  });

  test('behind the entry leaves keys that can be activated then', async () => {
    const { signer, reopen } = await newLog();
    const said = await signer.prepare('scheduled', START_MS, 10);
    const again = await reopen();
    await again.activate(11);
    expect(again.prepared()).toBeUndefined();
    expect(again.keys().slice(2).map(({ vkey, fromIndex }) => [vkey, fromIndex])).toEqual(said.keys.map((vkey) => [vkey, 11]));
    expect(linesOf(await again.sign(headAt(12), START_MS))).toHaveLength(4);
  });

  test.each(['before', 'after'] as const)('in a write, %s it is on the disk: either state opens and signs, and the change can be done again', async (fault) => {
    const { signer, file, reopen } = await newLog();
    const old = idsOf(signer);
    const failing = async (work: () => Promise<unknown>) => {
      file.fault = fault;
      await expect(work()).rejects.toMatchObject({ code: 'AuditUnavailable' });
      file.fault = undefined;
      for (const one of [signer, await reopen()]) expect(verifyCheckpointNote(await one.sign(headAt(9), START_MS), vkeysOf(one))).not.toHaveProperty('fault');
    };
    await failing(() => signer.prepare('scheduled', START_MS, 10));
    await signer.prepare('scheduled', START_MS, 10);
    await failing(() => signer.prepare('compromised', START_MS, 10));
    const said = await signer.prepare('scheduled', START_MS, 10);
    await failing(() => signer.activate(11));
    await signer.activate(11);
    expect(linesOf(await signer.sign(headAt(12), START_MS))).toHaveLength(4);
    await failing(() => signer.retire(START_MS + OVERLAP_MS, 12, ''));
    await signer.retire(START_MS + OVERLAP_MS, 12, '');
    const again = await reopen();
    expect(again.keys()).toEqual(signer.keys());
    expect(again.keys().slice(2).map(({ vkey }) => vkey)).toEqual(said.keys);
    expect(linesOf(await again.sign(headAt(13), START_MS))).not.toEqual(expect.arrayContaining(old));
  });
});

function read(text: string) {
  return readIdentity({ read: async () => Buffer.from(text) });
}

describe('the identity of a log', () => {
  test('comes back as it was written', async () => {
    const identity = { instanceId: INSTANCE, createdAt: '2026-01-01T00:00:00.000Z' };
    expect(await read(formatIdentity(identity))).toEqual(identity);
    expect(JSON.parse(formatIdentity(identity))).toEqual({ v: 1, instance_id: INSTANCE, origin: ORIGIN, created_at: '2026-01-01T00:00:00.000Z' });
  });

  test('is refused when it says another origin, is cut short or is not there', async () => {
    const right = formatIdentity({ instanceId: INSTANCE, createdAt: '2026-01-01T00:00:00.000Z' });
    for (const text of ['', '{}', 'null', right.slice(0, 40), right.replace(ORIGIN, `ron-kms/${OTHER}`), right.replace('"v":1', '"v":2'), right.replace(/0b"/g, '0B"'), right.replace('2026', 'then'), right.replace('"v":1', '"v":1,"w":1')]) {
      await expect(read(text), text).rejects.toThrow(/identity\.json.*not one of this version/);
    }
    await expect(readIdentity({ read: () => Promise.reject(new Error('ENOENT')) })).rejects.toThrow(/no identity\.json: ron-kms init makes one/);
  });
});
