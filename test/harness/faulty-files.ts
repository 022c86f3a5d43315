import type { FileLayer } from '../../src/adapters/audit-file/file-layer.ts';
import { basename, dirname } from 'node:path';

/** What is on a disk: the content of each file, by its path. */
export type DiskImage = ReadonlyMap<string, Buffer>;

/** A call that changes something. */
export interface Step {
  readonly call: 'open' | 'write' | 'flush' | 'writeFile' | 'truncate' | 'sync' | 'rename' | 'unlink' | 'mkdir' | 'rmdir';
  readonly path: string;
}

/**
 * What a crash leaves of what was not flushed. `killed`: the process alone died, all of it is there. The power fails:
 * `lost`, nothing of it; `nameless`, the bytes and not the names; `empty`, the names and not the bytes; `torn`, the
 * names, and of the bytes some sectors.
 */
export const CRASHES = ['killed', 'lost', 'nameless', 'empty', 'torn'] as const;
export type Crash = (typeof CRASHES)[number];

/** A disk in memory that knows what of it was flushed, and that calls out before and after each step. */
export interface FaultyFiles extends FileLayer {
  /** The disk after a crash now. The last step is on it whatever else is lost, where `withLastStep` says so. */
  crashed(how: Crash, withLastStep?: boolean): DiskImage;
}

export interface FaultyFilesOptions {
  readonly start?: DiskImage;
  /** Makes the step fail by throwing: of a write half gets there, of a flush nothing, now or later. */
  readonly before?: (step: Step) => void;
  readonly after?: (step: Step) => void;
  /** How long a call that does not return at once takes. */
  readonly pause?: () => Promise<unknown>;
  /** From 0 to 1, for what is torn. */
  readonly random?: () => number;
}

interface FileNode {
  content: Buffer;
  durable: Buffer;
  /** A flush failed: what it should have written is not tried again, as on Linux. */
  isDropped: boolean;
}

interface Folder {
  readonly names: Map<string, Node>;
  readonly durable: Map<string, Node>;
}

type Node = FileNode | Folder;

/** What the last step did, to be laid over what else is durable. */
interface LastStep {
  readonly names: readonly { readonly folder: Folder; readonly name: string; readonly node: Node | undefined }[];
  readonly bytes?: { readonly node: FileNode; readonly from: number };
}

const SECTOR_BYTES = 512;
const EMPTY = Buffer.alloc(0);
const NOTHING: LastStep = { names: [] };

export function createFaultyFiles({ start = new Map(), before, after, pause = turn, random = Math.random }: FaultyFilesOptions = {}): FaultyFiles {
  const root: Folder = { names: new Map(), durable: new Map() };
  const opened = new Map<number, { readonly node: FileNode; readonly path: string }>();
  let nextFd = 3;
  let last = NOTHING;

  const find = (path: string): Node | undefined => path.split('/').filter((name) => name !== '').reduce<Node | undefined>((at, name) => (at !== undefined && 'names' in at ? at.names.get(name) : undefined), root);
  const folderAt = (path: string): Folder => {
    const node = find(path);
    if (node === undefined || !('names' in node)) throw systemFault('ENOENT', path);
    return node;
  };
  const fileAt = (path: string): FileNode => {
    const node = find(path);
    if (node === undefined || 'names' in node) throw systemFault('ENOENT', path);
    return node;
  };
  const handle = (fd: number) => {
    const one = opened.get(fd);
    if (one === undefined) throw systemFault('EBADF', String(fd));
    return one;
  };

  const step = (call: Step['call'], path: string, effect: () => LastStep, onFault: () => void = () => undefined): void => {
    try {
      before?.({ call, path });
    } catch (fault) {
      onFault();
      throw fault;
    }
    last = effect();
    after?.({ call, path });
  };

  const name = (path: string, node: Node | undefined): LastStep => {
    const folder = folderAt(dirname(path));
    if (node === undefined) folder.names.delete(basename(path));
    else folder.names.set(basename(path), node);
    return { names: [{ folder, name: basename(path), node }] };
  };

  const emptied = (path: string): FileNode => {
    folderAt(dirname(path));
    const there = find(path);
    const node: FileNode = there === undefined ? { content: EMPTY, durable: EMPTY, isDropped: false } : fileAt(path);
    node.content = EMPTY;
    node.isDropped = false;
    return node;
  };

  const flushNode = (node: FileNode, content: Buffer): LastStep => {
    if (!node.isDropped) node.durable = content;
    return NOTHING;
  };
  const drop = (node: FileNode) => (): void => { node.isDropped = !node.content.equals(node.durable); };

  const makeFolders = (path: string): LastStep => {
    if (find(path) !== undefined) return NOTHING;
    const above = makeFolders(dirname(path));
    return { names: [...above.names, ...name(path, { names: new Map(), durable: new Map() }).names] };
  };

  const contentAfter = (node: FileNode, how: Crash, kept: LastStep): Buffer => {
    if (how === 'killed' || (how === 'nameless' && !node.isDropped)) return node.content;
    if (how === 'torn' && !node.isDropped) return torn(node, random);
    if (kept.bytes?.node !== node || node.isDropped) return node.durable;
    const { from } = kept.bytes;
    return Buffer.concat([node.durable.subarray(0, from), Buffer.alloc(Math.max(0, from - node.durable.length)), node.content.subarray(from)]);
  };

  const collect = (folder: Folder, path: string, how: Crash, kept: LastStep, found: Map<string, Buffer>): void => {
    const names = new Map(how === 'lost' || how === 'nameless' ? folder.durable : folder.names);
    for (const one of kept.names) if (one.folder === folder) {
      if (one.node === undefined) names.delete(one.name);
      else names.set(one.name, one.node);
    }
    for (const [entry, node] of names) {
      if ('names' in node) collect(node, `${path}/${entry}`, how, kept, found);
      else found.set(`${path}/${entry}`, contentAfter(node, how, kept));
    }
  };

  const readNow: FileLayer['readNow'] = (path) => {
    const node = find(path);
    return node === undefined || 'names' in node ? undefined : node.content;
  };
  const listNow: FileLayer['listNow'] = (path) => {
    const node = find(path);
    return node !== undefined && 'names' in node ? [...node.names.keys()] : [];
  };

  for (const [path, content] of start) {
    makeFolders(dirname(path));
    name(path, { content, durable: content, isDropped: false });
  }
  settle(root);

  return {
    readNow, listNow,
    async read(path) {
      await pause();
      return readNow(path);
    },
    async list(path) {
      await pause();
      return listNow(path);
    },
    open(path, flags) {
      if (flags === 'wx' && find(path) !== undefined) throw systemFault('EEXIST', path);
      step('open', path, () => name(path, emptied(path)));
      opened.set(nextFd, { node: fileAt(path), path });
      return nextFd++;
    },
    write(fd, bytes) {
      const { node, path } = handle(fd);
      const from = node.content.length;
      const append = (part: Buffer): void => { node.content = Buffer.concat([node.content, part]); };
      step('write', path, () => {
        append(bytes);
        return { names: [], bytes: { node, from } };
      }, () => append(bytes.subarray(0, bytes.length / 2)));
    },
    async flush(fd) {
      const { node, path } = handle(fd);
      const { content } = node;
      await pause();
      step('flush', path, () => flushNode(node, content), drop(node));
    },
    close: (fd) => {
      handle(fd);
      opened.delete(fd);
    },
    async writeFile(path, bytes) {
      await pause();
      const put = (part: Buffer): LastStep => {
        const node = emptied(path);
        node.content = Buffer.from(part);
        return { names: name(path, node).names, bytes: { node, from: 0 } };
      };
      folderAt(dirname(path));
      step('writeFile', path, () => put(bytes), () => put(bytes.subarray(0, bytes.length / 2)));
    },
    async truncate(path, size) {
      await pause();
      const node = fileAt(path);
      step('truncate', path, () => {
        node.content = node.content.subarray(0, size);
        return NOTHING;
      });
    },
    async sync(path) {
      await pause();
      const node = find(path);
      if (node === undefined) throw systemFault('ENOENT', path);
      if ('names' in node) step('sync', path, () => syncNames(node));
      else step('sync', path, () => flushNode(node, node.content), drop(node));
    },
    async rename(from, to) {
      await pause();
      const node = fileAt(from);
      step('rename', to, () => ({ names: [...name(to, node).names, ...name(from, undefined).names] }));
    },
    async unlink(path) {
      await pause();
      fileAt(path);
      step('unlink', path, () => name(path, undefined));
    },
    async mkdir(path) {
      await pause();
      if (find(path) === undefined) step('mkdir', path, () => makeFolders(path));
    },
    async rmdir(path) {
      await pause();
      if (folderAt(path).names.size > 0) throw systemFault('ENOTEMPTY', path);
      step('rmdir', path, () => name(path, undefined));
    },
    crashed(how, withLastStep = false) {
      const found = new Map<string, Buffer>();
      collect(root, '', how, withLastStep ? last : NOTHING, found);
      return found;
    },
  };
}

export function systemFault(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function syncNames({ names, durable }: Folder): LastStep {
  durable.clear();
  for (const [entry, node] of names) durable.set(entry, node);
  return NOTHING;
}

function settle(folder: Folder): void {
  syncNames(folder);
  for (const node of folder.names.values()) if ('names' in node) settle(node);
}

/** A length between what was flushed and what was written, with some sectors that never came. */
function torn({ content, durable }: FileNode, random: () => number): Buffer {
  const flushed = content.subarray(0, durable.length).equals(durable) ? durable.length : 0;
  const bytes = Buffer.from(content.subarray(0, flushed + Math.ceil(random() * (content.length - flushed))));
  for (let at = flushed - (flushed % SECTOR_BYTES); at < bytes.length; at += SECTOR_BYTES) {
    if (random() < 0.5) bytes.fill(0, Math.max(at, flushed), Math.min(at + SECTOR_BYTES, bytes.length));
  }
  return bytes;
}
