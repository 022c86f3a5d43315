import { closeSync, openSync, writeSync } from 'node:fs';

/** Writes until there is no room. */
export function fill(path: string): void {
  const file = openSync(path, 'a');
  try {
    for (const bytes of [Buffer.alloc(65_536), Buffer.alloc(4096), Buffer.alloc(1)]) {
      try {
        for (;;) writeSync(file, bytes);
      } catch {
        // Full for pieces of this size.
      }
    }
  } finally {
    closeSync(file);
  }
}
