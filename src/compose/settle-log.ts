import type { Log } from '../adapters/audit-log/log.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { Anchoring } from '../service/anchoring.ts';
import type { Integrity } from '../service/integrity.ts';
import { checkGeneration, settleIntents } from '../service/settle.ts';

interface SettleLogDeps {
  readonly log: Log;
  readonly anchoring: Pick<Anchoring, 'start'> | undefined;
  readonly store: Pick<KeyStore, 'generation'>;
  readonly integrity: Integrity;
}

/** Before anybody is served: the outcomes of what a crash left, then the anchor over them. */
export async function settleLog({ log, anchoring, store, integrity }: SettleLogDeps): Promise<void> {
  if (!integrity.isWhole()) return;
  const openIntents = log.openIntents();
  const done = checkGeneration(log.lastGeneration(), store.generation(), openIntents.length);
  if (done === undefined) integrity.fail('store', `the key store is at generation ${store.generation()}, and the last one in the log is ${log.lastGeneration()}`);
  else await settleIntents({ audit: log, store }, openIntents, done);
  await anchoring?.start();
}
