import type { Life, Transition } from '../core/key/lifecycle.ts';
import type { KeyRecord } from '../core/key/record.ts';
import { parseKid } from '../core/key/kid.ts';
import { step } from '../core/key/lifecycle.ts';

/** What an entry of the log says of a key. */
export interface KeyEntry {
  readonly op: string;
  readonly result: string;
  readonly reason?: string | undefined;
  readonly kid?: string | undefined;
  readonly generation?: number | undefined;
  readonly actor: { readonly via: string };
}

/** A version to be held or ended again, as the log knows it to have been since the backup. */
export interface KnownEnd {
  readonly base: string;
  readonly version: number;
  readonly state: 'disabled' | 'scheduled' | 'destroyed';
}

export interface KnownEnds {
  /** Of the keys in the backup. */
  readonly ends: readonly KnownEnd[];
  /** Versions made since the backup: they are not in it. */
  readonly lost: readonly string[];
}

const STRICTNESS = { enabled: 0, disabled: 1, scheduled: 2, destroyed: 3 } as const;
const TRANSITIONS: ReadonlyMap<string, Transition> = new Map((['disable', 'enable', 'destroy', 'restore'] as const).map((op) => [op, op]));
const FOREVER = Number.MAX_SAFE_INTEGER;

/** An entry of a mutation that was carried out. */
interface Mutated extends Pick<KeyEntry, 'op' | 'actor'> {
  readonly kid: string;
  readonly base: string;
  readonly version: number;
}

/** The mutations that a log tells of behind a generation, in their order. */
export function entriesAbove(entries: Iterable<KeyEntry>, generation: number): readonly Mutated[] {
  const found: Mutated[] = [];
  for (const { op, result, reason, kid: text = '', generation: at = 0, actor } of entries) {
    if (result !== 'ok' || reason === 'replay' || at <= generation) continue;
    const kid = parseKid(text);
    if (kid?.version !== undefined) found.push({ op, actor, kid: text, base: kid.base, version: kid.version });
  }
  return found;
}

/**
 * What these mutations held or ended for longer than the backup's keys are. What they opened again stays as it is in the
 * backup: nothing is loosened.
 *
 * An entry names the version that was current when a key was meant as a whole, so such an entry is taken to be about all
 * versions of then: more may be held than was, which can be undone.
 */
export function knownEnds(mutations: readonly Mutated[], keys: ReadonlyMap<string, KeyRecord>): KnownEnds {
  const lives = new Map<string, { readonly inBackup: readonly Life[]; readonly now: Life[]; newest: number }>();
  const lost: string[] = [];

  const livesOf = (base: string) => {
    const known = lives.get(base);
    if (known !== undefined) return known;
    const inBackup = keys.get(base)?.versions ?? [];
    const made = { inBackup, now: [...inBackup], newest: inBackup.length };
    lives.set(base, made);
    return made;
  };

  for (const { op, actor, kid, base, version } of mutations) {
    const key = livesOf(base);
    const isErasure = op === 'destroy' && actor.via === 'service';
    const transition = isErasure ? 'erase' : TRANSITIONS.get(op);
    if (op === 'create' || op === 'rotate') {
      key.newest = version;
      lost.push(kid);
    } else if (transition !== undefined) {
      const isWhole = !isErasure && version === key.newest;
      for (const [i, life] of key.now.entries()) if (isWhole || i + 1 === version) key.now[i] = next(life, transition);
    }
  }

  const ends = Array.from(lives, ([base, { inBackup, now }]) => now.flatMap(({ state }, i): readonly KnownEnd[] => {
    const before = inBackup[i]?.state ?? 'enabled';
    return state === 'enabled' || STRICTNESS[state] <= STRICTNESS[before] ? [] : [{ base, version: i + 1, state }];
  })).flat();
  return { ends, lost };
}

/** The service's own `destroy` of what was not scheduled is a schedule: one that a restore before this one has set anew. */
function next(life: Life, transition: Transition): Life {
  return step(life, transition, FOREVER) ?? (transition === 'erase' ? step(life, 'destroy', FOREVER) : undefined) ?? life;
}
