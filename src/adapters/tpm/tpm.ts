import type { Secret } from '../../core/secret.ts';
import type { Handle, TpmCommands } from './commands.ts';
import type { Point, Session } from './sessions.ts';
import { REVEAL } from '../../core/reveal.ts';
import { commandsOver, fixedHandle, OWNER } from './commands.ts';
import { TpmFault } from './faults.ts';
import { openTpmLink } from './link.ts';
import { sized, u16, u32 } from './marshal.ts';
import { nameOf, pointOf, STORAGE_KEY } from './public-areas.ts';
import { DECRYPT } from './sessions.ts';

export interface TpmSettings {
  /** A character device, a simulator's socket, or its port on loopback. */
  readonly device: string;
  /** Password of the owner hierarchy, where it has one. */
  readonly ownerAuth?: Secret | undefined;
  /** For one command. */
  readonly deadlineMs?: number;
}

/** A loaded object. */
interface Loaded extends Handle {
  readonly publicArea: Buffer;
}

interface StorageKey extends Loaded {
  readonly point: Point;
}

/** A TPM for as long as one piece of work takes; what was loaded is let go of at its end. */
export interface TpmUse extends TpmCommands {
  /** The key that all else lies under. */
  storageKey(): Promise<StorageKey>;
  /** Makes a key or sealed data under the storage key; `authValue` and `data` go there encrypted. */
  create(template: Buffer, secret: { readonly authValue?: Buffer; readonly data?: Buffer }): Promise<{ readonly publicArea: Buffer; readonly privateArea: Buffer }>;
  load(publicArea: Buffer, privateArea: Buffer): Promise<Loaded>;
  /** A session for the owner hierarchy. */
  owner(attributes?: number): Promise<Session | 'empty password'>;
}

export interface Tpm {
  /** One at a time: a TPM has few slots. */
  use<T>(work: (tpm: TpmUse) => Promise<T>): Promise<T>;
}

/** Making a key may take a TPM a second. */
const DEADLINE_MS = 2500;

export function createTpm({ device, ownerAuth, deadlineMs = DEADLINE_MS }: TpmSettings): Tpm {
  let last: Promise<unknown> = Promise.resolve();
  const useNow = async <T>(work: (tpm: TpmUse) => Promise<T>): Promise<T> => {
    const link = await openTpmLink(device, deadlineMs);
    const loaded: number[] = [];
    const commands = commandsOver(link);
    try {
      return await work(usesOf(commands, loaded, ownerAuth));
    } finally {
      for (const handle of loaded.toReversed()) await commands.flush(handle);
      await link.close();
    }
  };
  return {
    use(work) {
      const mine = last.then(() => useNow(work));
      last = mine.catch(() => undefined);
      return mine;
    },
  };
}

function usesOf(commands: TpmCommands, loaded: number[], ownerAuth: Secret | undefined): TpmUse {
  let storage: Promise<StorageKey> | undefined;

  const startSession: TpmCommands['startSession'] = async (kind, use) => {
    const session = await commands.startSession(kind, use);
    // It ends with the command that succeeds under it; behind one that does not it would keep its slot.
    loaded.push(session.handle);
    return session;
  };

  const owner: TpmUse['owner'] = async (attributes = 0) => {
    if (ownerAuth === undefined && attributes === 0) return 'empty password';
    const saltedTo = attributes === 0 ? undefined : await storageKey();
    return startSession('hmac', { authValue: ownerAuth?.read(REVEAL) ?? Buffer.alloc(0), attributes, ...(saltedTo && { saltedTo }) });
  };

  const makeStorageKey = async (): Promise<StorageKey> => {
    const { handle, parameters } = await commands.run('CreatePrimary', {
      handles: [fixedHandle(OWNER)], session: await owner(), answersHandle: true,
      parameters: Buffer.concat([sized(Buffer.concat([u16(0), u16(0)])), sized(STORAGE_KEY), u16(0), u32(0)]),
    });
    loaded.push(handle);
    const publicArea = parameters.sized();
    return { handle, publicArea, name: nameOf(publicArea), point: pointOf(publicArea) };
  };

  const storageKey = (): Promise<StorageKey> => {
    storage ??= makeStorageKey();
    return storage;
  };

  return {
    run: commands.run,
    flush: commands.flush,
    startSession,
    storageKey,
    owner,
    async create(template, { authValue = Buffer.alloc(0), data = Buffer.alloc(0) }) {
      const parent = await storageKey();
      const sensitive = Buffer.concat([sized(authValue), sized(data)]);
      const parameters = Buffer.concat([sized(sensitive), sized(template), u16(0), u32(0)]);
      try {
        const session = await startSession('hmac', { attributes: DECRYPT, saltedTo: parent });
        const made = await commands.run('Create', { handles: [parent], session, parameters });
        const privateArea = made.parameters.sized();
        return { privateArea, publicArea: made.parameters.sized() };
      } finally {
        sensitive.fill(0);
        parameters.fill(0);
      }
    },
    async load(publicArea, privateArea) {
      const parent = await storageKey();
      const { handle, parameters } = await commands.run('Load', { handles: [parent], session: 'empty password', parameters: Buffer.concat([sized(privateArea), sized(publicArea)]), answersHandle: true });
      loaded.push(handle);
      const name = nameOf(publicArea);
      if (!parameters.sized().equals(name)) throw new TpmFault('answer', 'the TPM loaded another object than it was given');
      return { handle, publicArea, name };
    },
  };
}



