import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LogFiles } from '../../src/adapters/audit-check/log-files.ts';
import type { MadeLog } from '../harness/made-log.ts';
import { goesBeyondItsEnd } from '../../src/adapters/audit-check/log-end.ts';
import { openLogFiles } from '../../src/adapters/audit-check/log-files.ts';
import { makeLog } from '../harness/made-log.ts';

let directory: string;
let log: MadeLog;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ron-kms-log-end-'));
  log = makeLog(directory);
  log.append(299);
  log.checkpoint();
  log.journal();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** The files, and somebody who works on them right after the first look at any. */
function filesWith(work: () => void): LogFiles {
  const files = openLogFiles(directory);
  let isDone = false;
  const afterwards = <T>(found: T): T => {
    if (!isDone) work();
    isDone = true;
    return found;
  };
  return {
    ...files,
    names: (...path) => afterwards(files.names(...path)),
    has: (...tile) => afterwards(files.has(...tile)),
  };
}

/** As a service does: into the journal first, then into tiles. */
function grow(by: number): void {
  const from = log.size();
  log.append(by);
  log.journal(from);
  log.checkpoint();
}

describe('where a log ends', () => {
  test('is where checkpoint and journal say, with nothing behind', () => {
    expect(goesBeyondItsEnd(openLogFiles(directory), 300)).toBe(false);
  });

  test.each([1, 100, 600])('is not mistaken while it grows by %i entries', (by) => {
    expect(goesBeyondItsEnd(filesWith(() => grow(by)), 300)).toBe(false);
  });

  test.each([1, 100, 1000, 30_000])('is seen to be an older one when the files hold %i entries more', (more) => {
    log.append(more);
    log.checkpoint();
    expect(goesBeyondItsEnd(openLogFiles(directory), 300)).toBe(true);
    rmSync(join(directory, 'journal'), { recursive: true });
    expect(goesBeyondItsEnd(openLogFiles(directory), 300)).toBe(true);
  });
});
