import type { Revocations } from '../adapters/auth-keyset/revocations.ts';
import type { Keyset } from '../adapters/auth-keyset/keyset.ts';
import type { LockedMemory } from '../adapters/system/locked-memory.ts';
import type { Config } from '../config/load.ts';
import type { Capabilities } from '../ports/capabilities.ts';
import type { Clock } from '../ports/clock.ts';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createIntrospectCapabilities } from '../adapters/auth-introspect/capabilities.ts';
import { createKeysetCapabilities } from '../adapters/auth-keyset/capabilities.ts';
import { parseKeyset, readKeysetFd } from '../adapters/auth-keyset/keyset.ts';
import { noRevocations, parseRevocations } from '../adapters/auth-keyset/revocations.ts';
import { openWatchedFile } from '../adapters/auth-keyset/watched-file.ts';

export interface Auth {
  readonly capabilities: Capabilities;
  /** Looks for new key sets and revocations; about once a second. */
  readonly refresh: () => Promise<void>;
  /** What to do when `capabilities` is not ready. */
  readonly missing: string;
}

export interface AuthDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly memory: LockedMemory;
  /** `CREDENTIALS_DIRECTORY` of systemd, where it lends us files. */
  readonly credentialsDirectory: string | undefined;
  /** A key set made in memory, where nobody lends one and the profile allows it. */
  readonly ownKeyset: Keyset | undefined;
}

interface Source<T> {
  value(): T;
  isCurrent(): boolean;
  refresh(): Promise<void>;
}

/** How a systemd credential with the key set is called (DESIGN §10). */
const CREDENTIAL = 'ron-kms.keyset';

export function openAuth({ config: { settings }, clock, memory, credentialsDirectory, ownKeyset }: AuthDeps): Auth {
  const revocationsPath = settings['auth.revocations_path'];
  const revocations: Source<Revocations> = revocationsPath === undefined
    ? fixed(noRevocations)
    : openWatchedFile({ path: revocationsPath, isPrivate: false, parse: parseRevocations });

  const introspectUrl = settings['auth.introspect_url'];
  if (settings['auth.mode'] === 'introspect' && introspectUrl !== undefined) {
    return { capabilities: createIntrospectCapabilities({ url: introspectUrl, clock, revocations }), refresh: revocations.refresh, missing: 'auth.introspect_url does not answer, or auth.revocations_path is unreadable' };
  }

  const keyset = openKeyset();
  return {
    capabilities: createKeysetCapabilities({ keyset, revocations }),
    refresh: async () => {
      await keyset.refresh();
      await revocations.refresh();
    },
    missing: 'set auth.keyset_path to a readable key set (mode 0600), and keep auth.revocations_path readable',
  };

  function openKeyset(): Source<Keyset> {
    const fd = settings['auth.keyset_fd'];
    if (fd !== undefined) return fixed(readKeysetFd(fd, memory));
    const lent = credentialsDirectory === undefined ? undefined : join(credentialsDirectory, CREDENTIAL);
    const path = settings['auth.keyset_path'] ?? (lent !== undefined && existsSync(lent) ? lent : undefined);
    if (path === undefined) return fixed(ownKeyset ?? new Map());
    return openWatchedFile({
      path,
      isPrivate: true,
      parse: (bytes) => parseKeyset(bytes, memory),
      // Nobody holds a key across a turn of the event loop: the old ones are zeroed and their slots given back.
      onSwap: (previous) => setImmediate(() => { for (const key of previous.values()) key.destroy(); }),
    });
  }
}

function fixed<T>(value: T): Source<T> {
  return { value: () => value, isCurrent: () => true, refresh: async () => undefined };
}
