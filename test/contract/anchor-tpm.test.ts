import type { SoftTpm } from '../harness/swtpm.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { createTpmAnchor } from '../../src/adapters/anchor-tpm/anchor.ts';
import { createTpm } from '../../src/adapters/tpm/tpm.ts';
import { openSmallLog } from '../harness/small-log.ts';
import { startSoftTpm, SWTPM, SWTPM_MISSING } from '../harness/swtpm.ts';
import { anchorContract, grow } from './anchor.ts';

if (SWTPM === undefined) console.warn(SWTPM_MISSING);
const root = mkdtempSync(join(tmpdir(), 'anchor-tpm-'));
const tpms: SoftTpm[] = [];
const INDEX = 0x0180_0a10;
let opened = 0;

async function openAnchor() {
  const soft = await startSoftTpm();
  tpms.push(soft);
  const log = openSmallLog(join(root, `${opened++}`), `ron-kms/${opened}`);
  const reopen = (mac = log.mac) => createTpmAnchor({ tpm: createTpm({ device: soft.device }), index: INDEX, mac });
  return { isCounter: true, anchor: reopen(), log, reopen: () => reopen(), reopenAs: reopen, soft, cut: soft.stop, mend: soft.start };
}

describe.skipIf(SWTPM === undefined)('in a TPM', () => {
  afterAll(async () => {
    for (const soft of tpms) await soft.drop();
    rmSync(root, { recursive: true, force: true });
  });
  anchorContract('tpm', openAnchor);

  describe('the counter of a TPM', () => {
    test('survives a reboot, and nobody without the log\'s key reads or advances it', async () => {
      const { anchor, log, reopen, reopenAs, soft } = await openAnchor();
      await anchor.advance(1, await grow(log, 1));
      await soft.reboot();
      expect(await reopen().read(log.headProof())).toEqual({ value: 1 });
      const stranger = reopenAs(() => Buffer.alloc(32, 9));
      expect(await stranger.read(log.headProof())).toEqual({ fault: 'the counter of the TPM is of another log' });
      expect(await stranger.advance(2, await grow(log, 1))).toHaveProperty('fault');
      expect(await reopen().read(log.headProof())).toEqual({ value: 1 });
    });

    test('one that the owner took away and made again is no longer what the log knew', async () => {
      const { anchor, log, reopen, soft } = await openAnchor();
      for (let value = 1; value <= 3; value++) await anchor.advance(value, await grow(log, 1));
      for (const index of ['0x1800a10', '0x1800a11']) soft.tool('tpm2_nvundefine', index);
      expect(await reopen().read(log.headProof())).toBeUndefined();
      // An ordinary index in its place could be set to anything: it is not taken for the counter.
      for (const index of ['0x1800a10', '0x1800a11']) soft.tool('tpm2_nvdefine', index, '-s', '8', '-a', 'ownerread|ownerwrite|authread|authwrite');
      expect(await reopen().read(log.headProof())).toHaveProperty('fault');
    });

    test('a crash while it is made leaves nothing that counts', async () => {
      const { anchor, log, reopen, soft } = await openAnchor();
      await anchor.make();
      // What came last when it was made is gone: as if that had never come.
      soft.tool('tpm2_nvundefine', '0x1800a11');
      expect(await reopen().read(log.headProof())).toBeUndefined();
      expect(await reopen().advance(1, await grow(log, 1))).not.toHaveProperty('fault');
      expect(await reopen().read(log.headProof())).toEqual({ value: 1 });
    });
  });
});
