import type { KeyRing } from './mac-keys.ts';
import type { StoreFault } from '../../ports/key-store.ts';
import type { RootKeys } from '../root-key/root-keys.ts';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { reasonOf } from '../../core/reason.ts';
import { checkHistory } from './check-history.ts';
import { checkParts } from './check-parts.ts';
import { compare, faultOf, orderScan, scanRecords } from './check-records.ts';
import { DATABASE_NAME, looking } from './database.ts';
import { createKeyRing, onTheirWay } from './mac-keys.ts';

export interface Inspected {
  readonly generation: number;
  readonly records: number;
  readonly fault: StoreFault | undefined;
}

/**
 * The whole check of a store that may be in use, from one moment of it; nothing is written. Without root keys all that is
 * left out is the MACs: a private part that was changed in place is then not seen. Undefined when there is no store.
 */
export function inspectStore(directory: string, rootKeys: RootKeys | undefined): Inspected | undefined {
  const path = join(directory, DATABASE_NAME);
  return existsSync(path) ? inspectDatabase(path, rootKeys && createKeyRing(onTheirWay(rootKeys))) : undefined;
}

/** The same of a database file. */
export function inspectDatabase(path: string, ring: KeyRing | undefined): Inspected {
  try {
    return looking(path, (database) => {
      database.exec('BEGIN');
      const history = checkHistory(database, ring);
      const fault = compare(database, ring, history, [scanRecords(database, ring, orderScan(database))]) ?? found(checkParts(database));
      const [records] = Object.values(database.prepare('SELECT count(*) FROM records').get() ?? {}) as [number?];
      return { generation: history.generation, records: records ?? 0, fault };
    });
  } catch (damage) {
    return { generation: 0, records: 0, fault: { what: `the database is damaged: ${reasonOf(damage)}`, kids: new Set() } };
  }
}

/** The generation as it stands now; 0 where there is no store, or none that can be read. */
export function generationOf(directory: string): number {
  try {
    const [generation] = looking(join(directory, DATABASE_NAME), (database) => Object.values(database.prepare('SELECT generation FROM head').get() ?? {})) as [number?];
    return generation ?? 0;
  } catch {
    return 0;
  }
}

function found(findings: ReturnType<typeof checkParts>): StoreFault | undefined {
  return findings.length === 0 ? undefined : faultOf(findings);
}
