import type { Log } from '../../src/adapters/audit-log/log.ts';
import type { LogSigner } from '../../src/ports/log-signer.ts';
import type { Call } from '../../src/service/call.ts';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { verifyCheckpointNote } from '../../client/src/log/verify-note.ts';
import { parseVkey } from '../../client/src/log/vkey.ts';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { openFileStorage } from '../../src/adapters/audit-file/storage.ts';
import { openLog } from '../../src/adapters/audit-log/open-log.ts';
import { formatIdentity } from '../../src/adapters/log-keys/identity.ts';
import { makeLogKeys, openLogSigner } from '../../src/adapters/log-keys/open.ts';
import { makeRootKey } from '../../src/adapters/root-key/root-key.ts';
import { FIRST_EPOCH, rootKeysOf } from '../../src/adapters/root-key/root-keys.ts';
import { systemClock as clock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { beginCall } from '../../src/service/call.ts';
import { makeLogKeyKeeping } from '../../src/service/log-keeping.ts';
import { eventOf } from '../contract/audit-log.ts';
import { eventually } from '../harness/poll.ts';
import { createOurPrimitives } from '../vectors/our-primitives.ts';

const HOUR_MS = 3_600_000;
const root = mkdtempSync(join(tmpdir(), 'log-keys-change-'));
afterAll(() => rmSync(root, { recursive: true }));
const random = createSystemRandom();
const { primitives: { signatures }, memory } = createOurPrimitives();

/** A log on disk whose key file may fail, and copies of it as a crash would leave it. */
async function newPlace(name: string) {
  const directory = join(root, name);
  const disk = { text: '', fails: false };
  const file = {
    read: async () => Buffer.from(disk.text),
    async replace(content: string) {
      if (disk.fails) throw new Error('no space left');
      disk.text = content;
    },
  };
  const instanceId = random.uuidv7();
  mkdirSync(directory);
  writeFileSync(join(directory, 'identity.json'), formatIdentity({ instanceId, createdAt: new Date().toISOString() }));
  const deps = { instanceId, rootKeys: rootKeysOf([{ epoch: FIRST_EPOCH, key: makeRootKey(memory) }], instanceId, memory), signatures, memory, keyOverlapMs: HOUR_MS, file };
  await makeLogKeys({ ...deps, nowMs: clock.wallMs() });

  const open = async (at = directory) => {
    const signer = await openLogSigner(deps);
    const log = await openLog({ storage: await openFileStorage(at), signer, clock, random, options: { durability: 'disk', checkpointEveryOps: 5000 } });
    const keeping = makeLogKeyKeeping({
      signer, audit: log, reader: log, changeKeys: log.changeKeys, keyRotationMs: 24 * HOUR_MS, clocks: { clock, guard: { isTrusted: () => true } },
      report: { telemetry: { operation: () => undefined, refused: () => undefined, turnedAway: () => undefined, attested: () => undefined, event: () => undefined }, random },
    });
    return { log, signer, keeping };
  };
  /** The files as they are, as another process finds them once this one is no more. */
  const crash = (): string => {
    const copy = `${directory}-${random.uuidv7()}`;
    cpSync(directory, copy, { recursive: true });
    rmSync(join(copy, 'lock'));
    return copy;
  };
  return { directory, disk, open, crash };
}

const call = (): Call => beginCall({ actor: { via: 'tcp', client_id: 'root' }, corrId: 'c', op: 'log-keys', opId: 'change', startedNs: 0n });
const compromised = { isCompromised: true, body: {} };
const parsed = (vkeys: readonly string[]) => vkeys.flatMap((vkey) => parseVkey(vkey) ?? []);
const allKeys = (signer: LogSigner) => parsed(signer.keys().map(({ vkey }) => vkey));

/** What the newest checkpoint covers, if these keys signed it. */
function coveredBy(log: Log, vkeys: readonly string[]): number {
  const verified = verifyCheckpointNote(log.checkpoint()?.note ?? '', parsed(vkeys));
  return 'fault' in verified ? 0 : verified.checkpoint.size;
}

describe('log keys that were compromised', () => {
  test('sign no checkpoint over the entry that says so, though one is asked for in that very moment', async () => {
    const { directory, open } = await newPlace('asked-for');
    const { log, signer, keeping } = await open();
    await log.append([eventOf('before')]);
    const { activate } = signer;
    let asked: Promise<void> | undefined;
    signer.activate = async (index) => {
      asked = log.checkpointNow();
      await activate(index);
    };
    const { keys, audit } = await keeping.rotate(call(), compromised);
    await asked;
    expect(coveredBy(log, keys)).toBe(audit.index + 1);
    await log.stop();
    expect(await checkWholeLog({ directory, vkeys: allKeys(signer), jobs: 0 })).toMatchObject({ ok: true, faults: [] });
    const again = await open();
    expect(again.log.integrityFault()).toBeUndefined();
    await again.log.stop();
  });

  test('and that a crash left waiting behind that entry are replaced before anything is signed', async () => {
    const { open, crash } = await newPlace('crash');
    const { log, signer } = await open();
    const announced = await signer.prepare('compromised', clock.wallMs(), log.size());
    await log.append([eventOf('meanwhile'), { ...eventOf('change'), op: 'log-keys', detail: { log_keys: announced } }], { mustFlush: true });
    const copy = crash();
    await log.stop();

    const after = await open(copy);
    expect(after.signer.prepared()).toBeUndefined();
    expect(after.signer.keys().slice(2).map(({ vkey, fromIndex }) => [vkey, fromIndex])).toEqual(announced.keys.map((vkey) => [vkey, 2]));
    expect(coveredBy(after.log, announced.keys)).toBe(after.log.size());
    await after.log.stop();
    expect(await checkWholeLog({ directory: copy, vkeys: allKeys(after.signer), jobs: 0 })).toMatchObject({ ok: true, faults: [] });
  });

  test('and that a full disk kept in place are replaced when there is room, and the checkpoint is signed anew though no entry came', async () => {
    const { disk, open } = await newPlace('full');
    const { log, signer, keeping } = await open();
    const { prepare } = signer;
    signer.prepare = async (...args) => {
      const said = await prepare(...args);
      disk.fails = true;
      return said;
    };
    await expect(keeping.rotate(call(), compromised)).rejects.toMatchObject({ code: 'AuditUnavailable' });
    await log.checkpointNow();
    const size = log.size();
    disk.fails = false;
    await keeping.tick();
    const newest = signer.keys().slice(2).map(({ vkey }) => vkey);
    expect(newest).toHaveLength(2);
    await eventually('the new keys have signed', 3000, () => coveredBy(log, newest) === size);
    await log.stop();
  });
});

test('keys that were prepared and never announced wait for the next change', async () => {
  const { open, crash } = await newPlace('prepared');
  const { log, signer } = await open();
  const { keys } = await signer.prepare('command', clock.wallMs(), log.size());
  const copy = crash();
  await log.stop();
  const after = await open(copy);
  expect(after.signer.keys()).toHaveLength(2);
  expect((await after.keeping.rotate(call(), { isCompromised: false, body: {} })).keys).toEqual(keys);
  await after.log.stop();
});
