import type { Stats } from 'node:fs';
import { readFileSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { KmsError } from '../../core/errors.ts';

/**
 * A small file that is read at start and again when it changed. The last good content stays when the new
 * one cannot be used; `isCurrent` says which of the two it is.
 */
export interface WatchedFile<T> {
  value(): T;
  isCurrent(): boolean;
  /** Looks whether the file changed; to be called about once a second. */
  refresh(): Promise<void>;
}

export interface WatchedFileOptions<T> {
  readonly path: string;
  /** Nobody but the owner may read it. */
  readonly isPrivate: boolean;
  /** Throws on content that cannot be used. */
  readonly parse: (bytes: Buffer) => T;
  /** Gets the value that was replaced. */
  readonly onSwap?: (previous: T) => void;
}

const OTHERS = 0o077;

/** Throws when the file is missing or unusable at start, naming the path. */
export function openWatchedFile<T>({ path, isPrivate, parse, onSwap }: WatchedFileOptions<T>): WatchedFile<T> {
  const read = (): { value: T; mark: string } => {
    const stats = statSync(path);
    if (isPrivate && (stats.mode & OTHERS) !== 0) throw new Error(`others may read ${path}: chmod 600 it`);
    const bytes = readFileSync(path);
    try {
      return { value: parse(bytes), mark: markOf(stats) };
    } catch (fault) {
      throw new Error(`${path} cannot be used: ${reasonOf(fault)}`, { cause: fault });
    } finally {
      bytes.fill(0);
    }
  };

  let { value, mark } = read();
  let isCurrent = true;
  return {
    value: () => value,
    isCurrent: () => isCurrent,
    async refresh() {
      try {
        if (isCurrent && markOf(await stat(path)) === mark) return;
        const fresh = read();
        const previous = value;
        ({ value, mark } = fresh);
        isCurrent = true;
        onSwap?.(previous);
      } catch {
        isCurrent = false;
      }
    },
  };
}

function reasonOf(fault: unknown): string {
  if (fault instanceof KmsError) return fault.hint ?? fault.message;
  return fault instanceof Error ? fault.message : 'it cannot be read';
}

/** Changes whenever the file is written, replaced or loses its protection. */
function markOf({ ino, mtimeMs, ctimeMs, size, mode }: Stats): string {
  return `${ino} ${mtimeMs} ${ctimeMs} ${size} ${mode}`;
}
