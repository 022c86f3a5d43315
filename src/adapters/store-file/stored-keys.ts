import type { KeyRecord } from '../../core/key/record.ts';
import type { KeyQuery } from '../../ports/key-store.ts';
import type { Findings } from './findings.ts';
import type { Reader, StoredKey } from './reader.ts';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseKid } from '../../core/key/kid.ts';
import { currentVersion } from '../../core/key/record.ts';
import { createSecondChance } from '../../core/second-chance.ts';
import { baseOf } from './record-name.ts';

/** The keys as they are on the disk; those used lately are in memory. */
export interface StoredKeys {
  find(base: string): StoredKey | undefined;
  list(query: KeyQuery): Promise<{ readonly keys: readonly KeyRecord[]; readonly next?: string }>;
  /** It is on the disk like this from now on. */
  put(stored: StoredKey): void;
  /** It is read anew when it is next asked for. */
  drop(base: string): void;
  clear(): void;
}

/** First versions looked at between two turns of the event loop. */
const LIST_SLICE = 128;

export function createStoredKeys(reader: Reader, findings: Findings, cacheKeysMax: number): StoredKeys {
  const cache = createSecondChance<string, StoredKey>(cacheKeysMax);
  const put = (stored: StoredKey): void => cache.put(stored.key.base, stored);

  const look = (base: string): StoredKey | undefined => {
    findings.requireGood(base);
    return cache.get(base) ?? findings.reading(() => reader.find(base));
  };

  return {
    find(base) {
      const found = look(base);
      if (found !== undefined) put(found);
      return found;
    },

    async list(query) {
      const found: KeyRecord[] = [];
      let afterId = query.after === undefined ? 0 : (findings.reading(() => reader.idOf(`${query.after ?? ''}#v1`)) ?? 0);
      for (;;) {
        const slice = findings.reading(() => reader.firstVersions(afterId, query.tenant, LIST_SLICE));
        for (const { id, kid } of slice) {
          afterId = id;
          const base = baseOf(kid);
          if (!mayMatch(kid, query) || findings.isBad(base)) continue;
          // Looked at and not kept: a long list would push out the keys in use.
          const key = look(base)?.key;
          if (key === undefined || !matches(key, query)) continue;
          if (found.length === query.limit) return { keys: found, next: found.at(-1)?.base ?? '' };
          found.push(key);
        }
        if (slice.length < LIST_SLICE) return { keys: found };
        // A query that finds little looks at much: others have their turn in between.
        await nextTurn();
      }
    },

    put,
    drop: (base) => { cache.drop(base); },
    clear: cache.clear,
  };
}

/** What the kid alone tells: most of what a query leaves out is not even read. */
function mayMatch(kid: string, { purpose, alg }: KeyQuery): boolean {
  if (purpose === undefined && alg === undefined) return true;
  const parsed = parseKid(kid);
  return parsed !== undefined && (purpose === undefined || parsed.purpose === purpose) && (alg === undefined || parsed.alg === alg);
}

function matches(key: KeyRecord, { state, label, admits }: KeyQuery): boolean {
  return (state === undefined || currentVersion(key).state === state)
    && (label === undefined || (Object.hasOwn(key.labels, label.name) && key.labels[label.name] === label.value))
    && admits(key);
}
