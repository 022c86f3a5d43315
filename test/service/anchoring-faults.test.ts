import type { StartedAnchoring } from '../harness/anchoring.ts';
import { copyFileSync, cpSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { createFileAnchor } from '../../src/adapters/anchor-file/anchor.ts';
import { eventOf } from '../contract/audit-log.ts';
import { INTERVAL_S, makePlaces, startAnchoring } from '../harness/anchoring.ts';
import { anchorsOf, openSmallLog } from '../harness/small-log.ts';
import { cosign } from '../harness/witness.ts';

const places = makePlaces();
afterAll(() => places.remove());

describe('the log and its anchor do not belong together', () => {
  test('an older copy of the log was restored', async () => {
    const { start, logPath, onFile } = places.file();
    const { mutate } = await start();
    cpSync(logPath, `${logPath}.older`, { recursive: true });
    for (let i = 0; i < 3; i++) await mutate();
    restore(logPath);
    expectMismatch(await start(), `seen ${onFile().tree_size} entries`, 'older copy of the log');
  });

  test('but not where the advance that a dead process had asked for comes to pass just as the next one looks: the two agree, and it goes on', async () => {
    const { start, logPath, anchorPath, onFile, origin } = places.file();
    await (await start()).mutate();
    // The entry is in the log, and the device was asked for its value when the process died.
    const dying = openSmallLog(logPath, origin);
    const file = createFileAnchor({ path: anchorPath, origin: dying.origin, mac: dying.mac });
    const never = await startAnchoring(dying, { ...file, advance: () => Promise.reject(new Error('it died')) });
    await never.mutate().catch(() => undefined);
    const late = { value: onFile().value + 1, head: dying.headProof() };
    expect(dying.lastAnchorValue()).toBe(late.value);

    const log = openSmallLog(logPath, origin);
    let asked = 0;
    const { anchoring, mutate } = await startAnchoring(log, {
      ...file,
      async advance(value, proof) {
        if (++asked === 1) await file.advance(late.value, late.head);
        return file.advance(value, proof);
      },
    });
    expect([anchoring.mismatch(), anchoring.isReachable()]).toEqual([undefined, true]);
    await mutate();
    expect(onFile().value).toBe(log.lastAnchorValue());
  });

  test('an older copy of the log was restored, and has grown beyond what the anchor has seen', async () => {
    const { start, logPath, onFile } = places.file();
    const { mutate } = await start();
    cpSync(logPath, `${logPath}.older`, { recursive: true });
    await mutate();
    restore(logPath);
    const grown = openSmallLog(logPath, 'ron-kms/1');
    await grown.append(Array.from({ length: 20 }, () => eventOf('other')));
    await grown.checkpointNow();
    expectMismatch(await start(), `does not continue the ${onFile().tree_size} entries`);
  });

  test('an older copy of the log was restored, with a witness', async () => {
    const { start, logPath, seenSize } = await places.witness();
    const { mutate } = await start();
    cpSync(logPath, `${logPath}.older`, { recursive: true });
    for (let i = 0; i < 3; i++) await mutate();
    restore(logPath);
    expectMismatch(await start(), `seen ${seenSize()} entries`, 'older copy of the log');
    for (let i = 0; i < 20; i++) openSmallLog(logPath, 'ron-kms/1');
    expectMismatch(await start(), `does not continue the ${seenSize()} entries`);
  });

  test('the anchor file was lost', async () => {
    const { start, anchorPath } = places.file();
    await (await start()).mutate();
    rmSync(anchorPath);
    for (let i = 0; i < 2; i++) expectMismatch(await start(), 'never been advanced', 'value 2', 'lost or replaced');
  });

  test('the anchor file is damaged', async () => {
    const { start, anchorPath } = places.file();
    await start();
    writeFileSync(anchorPath, readFileSync(anchorPath).fill(0x20, 40, 44));
    expectMismatch(await start(), anchorPath, 'damaged');
  });

  test('an older copy of the anchor file was restored', async () => {
    const { start, anchorPath } = places.file();
    const { mutate } = await start();
    copyFileSync(anchorPath, `${anchorPath}.older`);
    for (let i = 0; i < 2; i++) await mutate();
    copyFileSync(`${anchorPath}.older`, anchorPath);
    expectMismatch(await start(), 'value 1', 'entry 3', 'older copy of the anchor');
  });

  test('the anchor file is of another instance', async () => {
    const [one, other] = [places.file(), places.file()];
    await Promise.all([one.start(), other.start()]);
    copyFileSync(other.anchorPath, one.anchorPath);
    expectMismatch(await one.start(), 'of another log', other.origin, one.origin);
  });

  test('the anchor file was changed while the service ran', async () => {
    const { start, anchorPath } = places.file();
    const started = await start();
    rmSync(anchorPath);
    await expect(started.mutate()).rejects.toMatchObject({ code: 'AuditUnavailable', hint: expect.stringContaining('at odds') });
    expectMismatch(started, 'stands at 0', 'go to 2');
  });

  test('the witness has lost its record', async () => {
    const { start, options } = await places.witness();
    const { mutate } = await start();
    await mutate();
    rmSync(options.recordPath);
    for (let i = 0; i < 2; i++) expectMismatch(await start(), 'never been advanced', 'lost or replaced');
  });

  test('the witness is ahead while the service runs', async () => {
    const { start, witness } = await places.witness();
    const started = await start();
    witness().meddle(() => ({ status: 409, type: 'text/x.tlog.size', body: '9999\n' }));
    await expect(started.mutate()).rejects.toMatchObject({ code: 'AuditUnavailable' });
    expectMismatch(started, 'seen 9999 entries');
  });

  test('what is at odds stays so: nothing more is written or asked', async () => {
    const { start, anchorPath } = places.file();
    await (await start()).mutate();
    rmSync(anchorPath);
    const { anchoring, log, mutate, pass, events } = await start();
    for (let i = 0; i < 3; i++) {
      await expect(mutate()).rejects.toMatchObject({ code: 'AuditUnavailable' });
      pass(INTERVAL_S);
      await anchoring.tick();
    }
    expect(log.lastAnchorValue()).toBe(2);
    expect(events.map(({ event }) => event)).toEqual(['anchor_mismatch']);
  });
});

describe('the anchor is out of reach', () => {
  test('at start: nothing is written until it answers, then it goes on by itself', async () => {
    const { start, medium, onFile } = places.file();
    renameSync(medium, `${medium}.away`);
    const { anchoring, log, mutate, pass, events } = await start();
    expect([anchoring.isReachable(), anchoring.mismatch()]).toEqual([false, undefined]);
    await expect(mutate()).rejects.toMatchObject({ code: 'AuditUnavailable' });
    renameSync(`${medium}.away`, medium);
    await anchoring.tick();
    expect(anchoring.isReachable()).toBe(false);
    pass(1);
    await anchoring.tick();
    expect([anchoring.isReachable(), onFile().value, log.lastAnchorValue()]).toEqual([true, 1, 1]);
    await mutate();
    expect(events.map(({ event }) => event)).toEqual(['anchor_unreachable', 'anchor_reached_again']);
    expect(events[0]).toMatchObject({ anchor: 'file', why: expect.stringContaining('ENOENT') });
  });

  test('a witness that dies and comes back: one entry is left waiting, and made good', async () => {
    const { start, witness, back, seenSize } = await places.witness();
    const { anchoring, log, mutate, pass, events } = await start();
    await witness().stop();
    await expect(mutate()).rejects.toMatchObject({ code: 'AuditUnavailable' });
    expect([anchoring.isReachable(), log.lastAnchorValue()]).toEqual([false, 2]);
    expect(events.at(-1)).toMatchObject({ event: 'anchor_unreachable', why: expect.stringContaining('ECONNREFUSED') });
    for (let i = 0; i < 10; i++) {
      pass(60);
      await anchoring.tick();
    }
    expect(log.lastAnchorValue()).toBe(2);
    await back();
    pass(60);
    await anchoring.tick();
    expect([anchoring.isReachable(), log.lastAnchorValue(), seenSize()]).toEqual([true, 2, log.entries().length]);
  });

  test('a witness that lies is no anchor: refused, without a storm of questions, until it is honest', async () => {
    const { start, witness, options } = await places.witness();
    const { anchoring, log, mutate, pass } = await start();
    witness().meddle((honest) => ({ ...honest, body: honest.status === 200 ? cosign(options.signer, { origin: log.origin, size: 1, rootHash: Buffer.alloc(32) }, 0) : honest.body }));
    await expect(mutate()).rejects.toMatchObject({ code: 'AuditUnavailable' });
    const asked = witness().requests.length;
    const mutations = Array.from({ length: 100 }, () => mutate().catch(() => undefined));
    for (let second = 0; second < 120; second++) {
      pass(1);
      await anchoring.tick();
    }
    await Promise.all(mutations);
    expect(witness().requests.length - asked).toBeLessThan(40);
    expect([anchoring.isReachable(), anchoring.mismatch(), log.lastAnchorValue()]).toEqual([false, undefined, 2]);
    witness().meddle(undefined);
    pass(60);
    await anchoring.tick();
    expect(anchoring.isReachable()).toBe(true);
  });

  test('a slow witness: all who wait are let go together, within its deadline', async () => {
    const { start, witness } = await places.witness();
    const { anchoring, mutate } = await start();
    witness().meddle(() => undefined);
    const beganMs = performance.now();
    const answers = await Promise.allSettled(Array.from({ length: 50 }, () => mutate()));
    expect(performance.now() - beganMs).toBeLessThan(3000);
    expect(answers.every(({ status }) => status === 'rejected')).toBe(true);
    expect(anchoring.isReachable()).toBe(false);
  });

  test('is asked again after one second, two, four and so on to half a minute, each by lot at least half as long', async () => {
    for (const [lot, waits] of [[255, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]], [0, [500, 1000, 2000, 4000, 8000, 15_000, 15_000]]] as const) {
      const { logPath, origin } = places.file();
      let asked = 0;
      const dead = async (): Promise<never> => {
        asked++;
        throw new Error('no device');
      };
      const { anchoring, pass } = await startAnchoring(openSmallLog(logPath, origin), { kind: 'file', read: dead, advance: dead }, { bytes: () => Buffer.of(lot) });
      for (const waitMs of waits) {
        const before = asked;
        pass((waitMs - 1) / 1000);
        await anchoring.tick();
        expect(asked).toBe(before);
        pass(0.001);
        await anchoring.tick();
        expect(asked).toBe(before + 1);
      }
    }
  });

  test('and what it refuses, though it stands where it should, is at odds', async () => {
    const { start, anchorPath, logPath, origin } = places.file();
    await (await start()).mutate();
    const log = openSmallLog(logPath, origin);
    const file = createFileAnchor({ path: anchorPath, origin, mac: log.mac });
    await log.append([eventOf('other')], { mustFlush: true });
    // It is one behind, and stays there.
    const behind = { ...log, lastAnchorValue: () => log.lastAnchorValue() + 1 };
    const started = await startAnchoring(behind, { ...file, advance: async () => ({ fault: 'it refuses' }) });
    expect(started.anchoring.mismatch()).toBe('it refuses');
    // Nothing more is written once they are at odds.
    expect(anchorsOf(log.entries())).toHaveLength(log.lastAnchorValue());
  });

  test('a medium that hangs is given up, is asked nothing more meanwhile, and is taken back when it wakes', async () => {
    const { logPath, origin, anchorPath } = places.file();
    const log = openSmallLog(logPath, origin);
    const file = createFileAnchor({ path: anchorPath, origin, mac: log.mac });
    const hang: { until?: Promise<void> } = {};
    let calls = 0;
    const through = async <T>(call: () => Promise<T>): Promise<T> => {
      calls++;
      await hang.until;
      return call();
    };
    const { anchoring, mutate, pass } = await startAnchoring(log, { kind: 'file', read: (newest) => through(() => file.read(newest)), advance: (value, proof) => through(() => file.advance(value, proof)) });
    const waking = Promise.withResolvers<void>();
    hang.until = waking.promise;
    await expect(mutate()).rejects.toMatchObject({ code: 'AuditUnavailable' });
    const before = calls;
    pass(60);
    await anchoring.tick();
    expect([anchoring.isReachable(), calls]).toEqual([false, before]);
    waking.resolve();
    await expect.poll(async () => {
      pass(60);
      await anchoring.tick();
      return anchoring.isReachable();
    }).toBe(true);
    expect([anchoring.mismatch(), anchorsOf(log.entries()).length]).toEqual([undefined, log.lastAnchorValue()]);
  });

  test('a log that cannot be written is not taken for anchored', async () => {
    const { logPath, origin, anchorPath } = places.file();
    const log = openSmallLog(logPath, origin);
    let isBroken = false;
    const breaking = { ...log, append: (...args: Parameters<typeof log.append>) => (isBroken ? Promise.reject(new Error('disk full')) : log.append(...args)) };
    const { anchoring, pass, events } = await startAnchoring(breaking, createFileAnchor({ path: anchorPath, origin, mac: log.mac }));
    isBroken = true;
    await expect(anchoring.afterMutation()).rejects.toMatchObject({ code: 'AuditUnavailable' });
    expect(events.at(-1)).toMatchObject({ event: 'anchor_unreachable', why: 'disk full' });
    isBroken = false;
    pass(60);
    await anchoring.tick();
    expect([anchoring.isReachable(), anchoring.mismatch(), log.lastAnchorValue()]).toEqual([true, undefined, 2]);
  });
});

/** Nothing may be written, and the operator is told what is at odds. */
function expectMismatch({ anchoring, events }: StartedAnchoring, ...words: readonly string[]): void {
  for (const word of words) expect(anchoring.mismatch()).toContain(word);
  expect(anchoring.isReachable()).toBe(false);
  expect(events.at(-1)).toMatchObject({ event: 'anchor_mismatch', what: anchoring.mismatch() });
}

function restore(logPath: string): void {
  rmSync(logPath, { recursive: true });
  cpSync(`${logPath}.older`, logPath, { recursive: true });
}
