import type { Log } from '../adapters/audit-log/log.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { Anchoring } from '../service/anchoring.ts';
import type { Integrity } from '../service/integrity.ts';
import { settleIntents, settlementsOf } from '../service/settle.ts';

interface SettleLogDeps {
  readonly log: Log;
  readonly anchoring: Pick<Anchoring, 'start'> | undefined;
  readonly store: Pick<KeyStore, 'generation' | 'changesAbove' | 'integrity'>;
  readonly integrity: Integrity;
}

/** Before anybody is served: what the store found of itself, the outcomes of what a crash left, then the anchor over them. Model: [recover, settle]. */
export async function settleLog({ log, anchoring, store, integrity }: SettleLogDeps): Promise<void> {
  const fault = store.integrity();
  if (fault !== undefined) integrity.fail('store', fault.what);
  if (!integrity.isWhole()) return;
  const [logged, stored] = [log.lastGeneration(), store.generation()];
  const settlements = settlementsOf(log.openIntents(), { logged, stored, changes: await store.changesAbove(logged) });
  if (settlements === undefined) integrity.fail('store', atOdds(logged, stored));
  else await settleIntents(log, settlements);
  await anchoring?.start();
}

function atOdds(logged: number, stored: number): string {
  const numbers = `the key store is at generation ${stored}, and the last one in the log is ${logged}`;
  return stored < logged ? `${numbers}: an older copy of the store was put back` : `${numbers}, and no intent in the log tells of what is above it: the log was cut, or is of another store`;
}
