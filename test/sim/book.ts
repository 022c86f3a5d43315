/** What the clients were told, and what must therefore be so. */
export interface KnownKey {
  readonly base: string;
  readonly tenant: string;
  readonly alg: string;
  /** The highest version that any answer named. */
  version: number;
  /** Of the current version, by the last answer; undefined while a change is under way or its outcome is not known. */
  state: 'enabled' | 'disabled' | undefined;
  /** Somebody is changing it: one at a time. */
  isBusy: boolean;
  /** Changes that were sent: what did not move while a call was under way was so all the time. */
  changes: number;
  /** Versions that are destroyed, or wait for it: they open nothing for certain. */
  readonly ended: Set<number>;
  readonly wrapped: { readonly wrapped: string; readonly plaintext: string; readonly version: number }[];
  readonly signed: { readonly payload: string; readonly sigs: unknown; readonly kid: string }[];
}

/** An entry that an answer named. */
export interface ToldEntry {
  readonly index: number;
  readonly opId: string;
  readonly op: string;
  readonly kid: string | undefined;
}

/** Something that must never be so; the first word names the promise. */
export class Broken extends Error {
  override readonly name = 'Broken';
  readonly promise: PromiseName;

  constructor(promise: PromiseName, what: string) {
    super(`${promise}: ${what}`);
    this.promise = promise;
  }
}

const promises = {
  'answered-is-kept': 'nothing that was answered is lost',
  'log-is-whole': 'the log is contiguous and verifies, and so do store and log together',
  'versions-go-up': 'versions only go up',
  'nonce-once': 'no nonce is used twice for a version',
  'entry-first': 'no signature without its entry',
  'tenants-apart': 'one tenant never sees another',
  'once-per-op-id': 'one op_id, one outcome',
  'right-answer': 'what is answered is right: signatures verify, keys open, states hold',
  'right-refusal': 'nothing is refused that should not be, and never as an error of ours',
  'rollback-is-seen': 'an older disk is not served from',
  'comes-back': 'when the trouble is over everything works again',
} as const;
export type PromiseName = keyof typeof promises;

export interface Book {
  readonly keys: Map<string, KnownKey>;
  readonly told: ToldEntry[];
  readonly nonces: Set<string>;
  readonly counts: Record<string, number>;
}

export function createBook(): Book {
  return { keys: new Map(), told: [], nonces: new Set(), counts: {} };
}

export function count(book: Book, what: string): void {
  book.counts[what] = (book.counts[what] ?? 0) + 1;
}

export function versionOf(kid: string): number {
  return Number(kid.slice(kid.indexOf('#v') + 2));
}

export function baseOf(kid: string): string {
  return kid.slice(0, kid.indexOf('#'));
}
