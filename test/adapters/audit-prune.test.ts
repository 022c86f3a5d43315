import type { PruneRequest } from '../../src/adapters/audit-prune/plan.ts';
import type { MadeLog } from '../harness/made-log.ts';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { openLogFiles } from '../../src/adapters/audit-check/log-files.ts';
import { carryOut } from '../../src/adapters/audit-prune/carry-out.ts';
import { planPrune } from '../../src/adapters/audit-prune/plan.ts';
import { makeLog } from '../harness/made-log.ts';

let root: string;
let log: MadeLog;
/** Ten full bundles, a millisecond an entry from 10:00:00.000 on. */
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ron-kms-prune-'));
  log = makeLog(join(root, 'log'));
  log.append(2600);
  log.checkpoint();
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const LATE = '2030-01-01T00:00:00.000Z';
const ignore = (): void => undefined;
const plan = (more: Partial<PruneRequest> = {}) => planPrune({ files: openLogFiles(log.directory), before: LATE, minimumIndex: 0, limit: { index: 2600, why: 'the end' }, onProgress: ignore, ...more });
const bundle = (number: string): string => join(log.directory, 'tile/entries', number);

describe('what may go', () => {
  test('is every full bundle but those that name keys', () => {
    expect(plan()).toMatchObject({ minimumIndex: 2560, bundles: [1, 2, 3, 4, 5, 6, 7, 8, 9], kept: [0], stoppedBy: 'the end' });
  });

  test('is older than the time, to the last entry of a bundle', () => {
    // Entry 767 is the last of the third bundle.
    expect(plan({ before: '2026-11-23T10:00:00.767Z' })).toMatchObject({ minimumIndex: 512, bundles: [1], stoppedBy: undefined });
    expect(plan({ before: '2026-11-23T10:00:00.768Z' })).toMatchObject({ minimumIndex: 768, bundles: [1, 2], stoppedBy: undefined });
    expect(plan({ before: '2020-01-01T00:00:00.000Z' })).toMatchObject({ minimumIndex: 0, bundles: [] });
  });

  test.each([[1023, 768], [1024, 1024], [100, 0]])('ends before what is still needed at entry %i', (index, minimumIndex) => {
    expect(plan({ limit: { index, why: 'an intent is open' } })).toMatchObject({ minimumIndex, stoppedBy: 'an intent is open' });
  });

  test('is nothing when a bundle is missing', () => {
    rmSync(bundle('004'));
    expect(() => plan()).toThrow('tile/entries/004 is missing: nothing was pruned');
  });
});

describe('carried out', () => {
  test('the log is checked by its hashes, and by the archive as it was', async () => {
    const before = readFileSync(bundle('003'));
    const archive = join(root, 'archive');
    await carryOut({ directory: log.directory, plan: plan({ before: '2026-11-23T10:00:01.600Z' }), archive, onProgress: ignore });
    expect([existsSync(bundle('003')), existsSync(bundle('000')), existsSync(bundle('006'))]).toEqual([false, true, true]);
    expect(gunzipSync(readFileSync(join(archive, 'tile/entries/003.gz')))).toEqual(before);
    const check = { directory: log.directory, vkeys: log.vkeys, jobs: 0 };
    expect(await checkWholeLog(check)).toMatchObject({ ok: true, minimumIndex: 1536 });
    expect(await checkWholeLog({ ...check, jobs: 1, archive })).toMatchObject({ ok: true, minimumIndex: 256 });
  });

  test('again: only what is new goes, and what a crash had left', async () => {
    await carryOut({ directory: log.directory, plan: plan({ before: '2026-11-23T10:00:00.768Z' }), archive: undefined, onProgress: ignore });
    expect(plan({ minimumIndex: 768 })).toMatchObject({ minimumIndex: 2560, bundles: [3, 4, 5, 6, 7, 8, 9], kept: [0] });
    expect(plan({ minimumIndex: 1280, before: '2026-11-23T10:00:01.400Z' })).toMatchObject({ minimumIndex: 1280, bundles: [3, 4], kept: [0] });
  });

  test('an archive that cannot be written takes nothing out', async () => {
    await expect(carryOut({ directory: log.directory, plan: plan(), archive: join(log.directory, 'checkpoint'), onProgress: ignore })).rejects.toThrow();
    expect([existsSync(bundle('001')), existsSync(join(log.directory, 'minimum-index'))]).toEqual([true, false]);
  });
});
