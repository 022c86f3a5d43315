import type { Call } from '../../src/service/call.ts';
import type { Custody } from '../../src/ports/custody.ts';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { makeMakeVersion } from '../../src/service/make-version.ts';
import { keyRecord } from '../harness/key-record.ts';

const BASE = 'core/audit/ed25519/01890000-0000-7000-8000-000000000001';

test('a version that the store does not take is erased where it was made; the call is about it from when it is there', async () => {
  const erased: string[] = [];
  const custody = {
    generate: async () => ({ publicParts: [], attestationClass: 'test', seal: (generation: number) => Buffer.of(generation) }),
    erase: async ({ kid }: { kid: string }) => { erased.push(kid); },
  } as unknown as Custody;
  const call = {} as Call;
  const { put, undo } = await makeMakeVersion({ custody, clock: systemClock })(call, keyRecord(BASE));
  expect(call.subject?.version.kid).toBe(`${BASE}#v1`);
  expect(put(7).versions).toMatchObject([{ version: 1, state: 'enabled', custodyBlob: Buffer.of(7), sealedGeneration: 7 }]);
  // For logs, which name no key in full (DESIGN §11).
  expect(call.subject?.version.kidHash).toMatch(/^[0-9a-f]{8}$/);
  await undo?.();
  expect(erased).toEqual([`${BASE}#v1`]);
});
