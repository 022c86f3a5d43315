import type { FileHandle } from 'node:fs/promises';
import type { Command, Io } from '../cli/command.ts';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { link, open, rename, unlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { print } from '../cli/answer.ts';
import { recordJson } from '../cli/audit-records.ts';
import { UsageError } from '../cli/command.ts';
import { connectionAbout, connectionOptions } from '../cli/connection.ts';
import { EXIT } from '../cli/exit-codes.ts';
import { flag, isOn } from '../cli/flags.ts';
import { inEntries, startProgress } from '../cli/progress.ts';
import { dirAbout, dirOption, sourceOf } from './audit-command-directory.ts';
import { countTo, spanAbout, spanFlags, spanOptions, within } from './audit-command-records.ts';

/** Lines are written together once they are so many characters. */
const BLOCK = 1 << 18;

export const exportCommand: Command = {
  name: 'audit export',
  summary: 'Write entries as JSON lines: {"entry","index"}, the entry as it was hashed',
  example: 'audit export --out entries.jsonl --from 1000',
  options: { out: { type: 'string' }, force: { type: 'boolean' }, ...spanOptions, ...dirOption, ...connectionOptions },
  about: {
    out: 'the file, for the owner alone; - or left out is standard output', force: 'replace a file that is there', ...spanAbout, ...dirAbout, ...connectionAbout,
    json: 'tell as JSON how many were written to the file',
  },
  async run(parsed, io) {
    const asked = spanFlags(parsed);
    const out = flag(parsed, 'out') ?? '-';
    const isForced = isOn(parsed, 'force');
    if (out !== '-' && !isForced && existsSync(resolve(io.cwd, out))) throw new UsageError(`${out} is there already: --force replaces it`);
    const source = await sourceOf(parsed, io);
    const span = await within(source, asked);
    const progress = startProgress(io, 'writing', span.to - span.from, inEntries);
    let [count, block] = [0, ''];
    const write = async (put: (text: string) => Promise<void>): Promise<void> => {
      for await (const record of source.read(span, { query: {} }, countTo(progress, span.from))) {
        block += recordJson(record);
        count++;
        if (block.length < BLOCK) continue;
        await put(block);
        block = '';
      }
      await put(block);
    };

    if (out === '-') await write(async (text) => io.out(text));
    else await writeBeside(out, io, isForced, (file) => write(async (text) => { await file.appendFile(text); }));
    progress.end();
    if (out !== '-') print(parsed, io, { entries: count, from: span.from, to: span.to, out }, () => `${count} entries are in ${out}`);
    return EXIT.ok;
  },
};

/** Put in place whole, and in nobody's place unless that was asked for. */
async function writeBeside(path: string, io: Io, isForced: boolean, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const target = resolve(io.cwd, path);
  const beside = `${target}.${randomUUID()}`;
  const file = await open(beside, 'wx', 0o600).catch((cause: unknown) => { throw new UsageError(`cannot write ${path}`, { cause }); });
  try {
    await write(file);
    await file.sync();
    await (isForced ? rename(beside, target) : link(beside, target));
  } finally {
    await file.close();
    await unlink(beside).catch(() => undefined);
  }
}
