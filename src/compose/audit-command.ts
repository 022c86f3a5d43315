import type { Command } from '../cli/command.ts';
import { acceptClockCommand, rotateKeysCommand } from '../cli/audit-admin.ts';
import { checkReceiptCommand } from '../cli/audit-receipt.ts';
import { exportCommand } from './audit-command-export.ts';
import { proveCommand } from './audit-command-prove.ts';
import { grepCommand, tailCommand } from './audit-command-records.ts';
import { verifyLogCommand } from './audit-command-verify.ts';
import { configOption, configAbout } from './audit-command-directory.ts';

const pruneCommand: Command = {
  name: 'audit prune',
  args: '[<dir>]',
  summary: 'Delete old entries of a stopped log, and keep their hashes, so that it stays checkable',
  example: 'audit prune --keep 400d --archive /mnt/cold/kms-audit',
  options: { before: { type: 'string' }, keep: { type: 'string' }, archive: { type: 'string' }, yes: { type: 'boolean' }, ...configOption, json: { type: 'boolean' } },
  about: {
    before: 'entries older than this: 2026-11-23, 2026-11-23T10:00:00Z', keep: 'or entries older than this: 400d',
    archive: 'a directory to put them in, compressed, before they go; made when it is not there', yes: 'do it: without, it only tells what it would do',
    ...configAbout, json: 'print it as JSON',
  },
  // It opens keys, as the service does; the other commands need not load what that takes.
  run: async (parsed, io) => (await import('./audit-command-prune.ts')).prune(parsed, io),
};

export const auditCommands: readonly Command[] = [
  verifyLogCommand, tailCommand, grepCommand, exportCommand, proveCommand, checkReceiptCommand, pruneCommand, rotateKeysCommand, acceptClockCommand,
];
