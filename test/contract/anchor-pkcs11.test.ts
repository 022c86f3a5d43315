import type { TokenDevice } from '../../src/adapters/custody-pkcs11/device.ts';
import type { SoftToken } from '../harness/softhsm.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { createTokenAnchor } from '../../src/adapters/anchor-pkcs11/anchor.ts';
import { openTokenDevice } from '../../src/adapters/custody-pkcs11/device.ts';
import { eventually } from '../harness/poll.ts';
import { openSmallLog } from '../harness/small-log.ts';
import { LABEL, makeSoftToken, PIN, SOFTHSM_MISSING, SOFTHSM_MODULE } from '../harness/softhsm.ts';
import { anchorContract, grow } from './anchor.ts';

if (SOFTHSM_MODULE === undefined) console.warn(SOFTHSM_MISSING);
const root = mkdtempSync(join(tmpdir(), 'anchor-pkcs11-'));
const softs: SoftToken[] = [];
const devices: TokenDevice[] = [];
let opened = 0;

async function openAnchor() {
  const soft = makeSoftToken();
  softs.push(soft);
  const device = await openTokenDevice({ modulePath: soft.modulePath, slotLabel: LABEL, pin: PIN, sessions: 1 }, { ...process.env, ...soft.env });
  devices.push(device);
  const log = openSmallLog(join(root, `${opened++}`), `ron-kms/${opened}`);
  const reopen = () => createTokenAnchor({ token: device.reviving, origin: log.origin, mac: log.mac });
  return {
    anchor: reopen(), log, reopen, device,
    cut: async () => soft.remove(),
    async mend() {
      soft.putBack();
      await eventually('it is back', 10_000, () => device.reviving.facts().then(() => true, () => false));
    },
  };
}

describe.skipIf(SOFTHSM_MODULE === undefined)('in a token', () => {
  afterAll(async () => {
    for (const device of devices) await device.close();
    for (const soft of softs) soft.drop();
    rmSync(root, { recursive: true, force: true });
  });
  anchorContract('pkcs11', openAnchor);

  test('what somebody else put there is a fault, and of a write that was cut short the newer record counts', async () => {
    const { anchor, log, reopen, device } = await openAnchor();
    await anchor.advance(1, await grow(log, 1));
    const [older] = await device.readData(`ron-kms anchor ${log.origin}`);
    const proof = await grow(log, 1);
    await anchor.advance(2, proof);
    const [newer] = await device.readData(`ron-kms anchor ${log.origin}`);
    expect(older).not.toEqual(newer);
    await device.writeData(`ron-kms anchor ${log.origin}`, Buffer.from('{"v":1}'));
    expect(await reopen().read(proof)).toHaveProperty('fault');
  });
});
