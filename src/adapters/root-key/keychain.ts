import type { FileLayer } from '../audit-file/file-layer.ts';
import type { LockedMemory } from '../system/locked-memory.ts';
import type { OpenedRootKey, Opener } from './root-key.ts';
import type { HeldRootKey, RootKeys } from './root-keys.ts';
import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { nodeFiles } from '../audit-file/file-layer.ts';
import { flushDirectory, replaceDurably } from '../files/durable-file.ts';
import { isOutdated, newKdf } from './kdf.ts';
import { makeRootKey, openRootKeyFile, sealAnother, sealedAnew, sealRootKey } from './root-key.ts';
import { EPOCH_BYTES, rootKeysOf } from './root-keys.ts';
import { copyOf } from './sealing.ts';

/** The root keys of an instance with the files they lie in: one, and the next one while everything is moved under it. */
export interface Keychain extends RootKeys {
  /** True from `begin` to `end`, crashes in between included. */
  isMoving(): boolean;
  /** Makes the next root key, durable when it returns; all that is sealed from then on lies under it. */
  begin(): Promise<void>;
  /** Nothing lies under the one before any more: it is forgotten, here and on disk. */
  end(): Promise<void>;
  /** Each of them once more, for a backup; the caller destroys them. */
  copies(): readonly HeldRootKey[];
  /** Zeroes all of them. */
  destroy(): void;
}

export interface KeychainDeps {
  readonly path: string;
  readonly instanceId: string;
  /** Stays the caller's. With a `kdf` named, a root key under another one is sealed anew. */
  readonly opener: Opener;
  readonly memory: LockedMemory;
  readonly files?: FileLayer;
}

/**
 * Seals the root key anew where the passphrase is stretched by another function than is wanted, or by less of it than a new file gets. The
 * file is replaced whole: whoever does the same at once writes as good a one.
 */
async function upgrade({ path, opener, memory, files = nodeFiles }: KeychainDeps, opened: OpenedRootKey): Promise<OpenedRootKey> {
  const { kdf } = opened.header;
  if ('device' in opener) return opened;
  const wanted = opener.kdf;
  if (wanted === undefined || kdf === undefined || !isOutdated(kdf, wanted)) return opened;
  const upgraded = await sealedAnew(opened, opener, newKdf(wanted), memory);
  await replaceDurably(path, Buffer.from(sealAnother(opened.rootKey, opened.epoch, upgraded)), files);
  opened.sealingKey.destroy();
  return upgraded;
}

/** The same root key under something else; the file is replaced whole, and only by one that opens. */
export async function resealRootKey({ path, instanceId, opener, memory, files = nodeFiles }: KeychainDeps, under: Opener): Promise<void> {
  const bytes = files.readNow(path);
  if (bytes === undefined) throw new Error('root-key.json cannot be read from audit.dir');
  const opened = await openRootKeyFile(bytes, instanceId, opener, memory);
  try {
    const text = Buffer.from(await sealRootKey(opened.rootKey, instanceId, under, memory, opened.epoch));
    const again = await openRootKeyFile(text, instanceId, under, memory);
    for (const secret of [again.rootKey, again.sealingKey]) secret.destroy();
    await replaceDurably(path, text, files);
  } finally {
    for (const secret of [opened.rootKey, opened.sealingKey]) secret.destroy();
  }
}

/** Beside the root key, while there are two. */
export function nextPathOf(path: string): string {
  return path.replace(/\.json$/, '-next.json');
}

/**
 * Opens `root-key.json`, and `root-key-next.json` where a move to the next root key is not done. The new key lies under what opened the old one; a rename
 * of its file over the old one's is the end of the move.
 */
export async function openKeychain(deps: KeychainDeps): Promise<Keychain> {
  const { path, instanceId, opener, memory, files = nodeFiles } = deps;
  const bytes = files.readNow(path);
  if (bytes === undefined) throw new Error('root-key.json cannot be read from audit.dir: without it neither keys nor log can be opened');
  const opened = await openRootKeyFile(bytes, instanceId, opener, memory);
  const nextPath = nextPathOf(path);
  const nextBytes = files.readNow(nextPath);
  // While there are two they lie alike; the next start sees to it.
  const first = nextBytes === undefined ? await upgrade(deps, opened) : opened;
  const held: HeldRootKey[] = [{ epoch: first.epoch, key: first.rootKey }];
  if (nextBytes !== undefined) {
    const next = await openRootKeyFile(nextBytes, instanceId, opener, memory, first);
    held.push({ epoch: next.epoch, key: next.rootKey });
  }

  return {
    ...rootKeysOf(held, instanceId, memory),
    isMoving: () => held.length > 1,
    async begin() {
      if (held.length > 1) return;
      const key = makeRootKey(memory);
      const epoch = randomBytes(EPOCH_BYTES).toString('hex');
      await replaceDurably(nextPath, Buffer.from(sealAnother(key, epoch, first)), files);
      held.push({ epoch, key });
    },
    async end() {
      if (held.length < 2) return;
      await files.rename(nextPath, path);
      await flushDirectory(dirname(path), files);
      for (const { key } of held.splice(0, held.length - 1)) key.destroy();
    },
    copies: () => held.map(({ epoch, key }) => ({ epoch, key: copyOf(key, memory) })),
    destroy() {
      for (const { key } of held) key.destroy();
      first.sealingKey.destroy();
    },
  };
}
