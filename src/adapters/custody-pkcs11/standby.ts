import type { VersionRecord } from '../../core/key/record.ts';
import type { TokenDevice } from './device.ts';
import type { KeyAttributes, TokenCalls } from './protocol.ts';
import { KmsError } from '../../core/errors.ts';
import { BackendGone } from '../../ports/custody.ts';

/** A second token that holds the same keys, by its vendor's cloning: it signs and opens while the first one is out, and makes nothing. */
export interface Standby {
  /** Ed25519, by the key of this version; only what verifies under its recorded public key is given. Throws where that is not proven. */
  sign(version: VersionRecord, message: Buffer): Promise<Buffer>;
  /** What it opens or derives proves itself: it authenticates, or it does not. */
  readonly opens: Pick<TokenCalls, 'decrypt' | 'derive'>;
  /** Whether it does its work; opens it again where it is not there. */
  probe(): Promise<void>;
  close(): Promise<void>;
}

export interface StandbyDeps {
  readonly open: () => Promise<TokenDevice>;
  /** Ed25519. */
  readonly verify: (publicBytes: Buffer, message: Buffer, signature: Buffer) => Promise<boolean> | boolean;
}

const ED25519_ALG = 'ed25519';
const PROVEN_MAX = 65_536;

export async function createStandby({ open, verify }: StandbyDeps): Promise<Standby> {
  /** It may be out when the service starts. */
  let token = await open().catch(() => undefined);
  /** Keys that the token says never leave it: of the same class as on the first one. */
  const proven = new Set<string>();

  const there = (): TokenCalls => {
    if (token === undefined) throw new BackendGone('the standby token is not there');
    return token.reviving;
  };

  const requireClass = async (kid: string): Promise<void> => {
    if (proven.has(kid)) return;
    const attributes = await there().attributesOf(kid);
    if (attributes === undefined || !isStaying(attributes)) throw unproven();
    if (proven.size >= PROVEN_MAX) proven.clear();
    proven.add(kid);
  };

  return {
    async sign({ kid, publicParts }, message) {
      await requireClass(kid);
      const signature = Buffer.from(await there().sign(kid, message));
      const part = publicParts.find(({ alg }) => alg === ED25519_ALG);
      if (part === undefined || !await verify(part.bytes, message, signature)) throw unproven();
      return signature;
    },
    opens: {
      decrypt: async (...args) => there().decrypt(...args),
      derive: async (...args) => there().derive(...args),
    },
    async probe() {
      token ??= await open();
      await token.probe();
    },
    close: async () => token?.close(),
  };
}

/** The token, or its standby while it is out: who may ask which. */
export interface StandingIn {
  /** What the standby cannot do in the token's place takes nothing else along. */
  alone<T>(work: () => Promise<T>): Promise<T>;
  orStandby<T>(work: () => Promise<T>, instead: (by: Standby) => Promise<T>): Promise<T>;
  /** Whether one of them does its work. */
  probe(): Promise<void>;
  isStandingIn(): boolean;
}

/** A token that is out while its standby works is not asked each second. */
const TRY_AGAIN_MS = 5000;

export function standingIn(token: Pick<TokenCalls, 'probe'>, standby: Standby | undefined): StandingIn {
  let isIn = false;
  let tryAgainAtMs = 0;
  const unlessGone = async <T>(work: () => Promise<T>, instead: (by: Standby, cause: BackendGone) => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (fault) {
      if (standby === undefined || !(fault instanceof BackendGone)) throw fault;
      isIn = true;
      return instead(standby, fault);
    }
  };
  return {
    alone: (work) => unlessGone(work, (_by, cause) => {
      throw new KmsError('StoreUnavailable', { hint: 'the token is out, and its standby makes no keys and seals nothing', cause });
    }),
    orStandby: unlessGone,
    async probe() {
      if (standby === undefined) return token.probe();
      if (isIn && performance.now() < tryAgainAtMs) return standby.probe();
      try {
        await token.probe();
        isIn = false;
      } catch {
        tryAgainAtMs = performance.now() + TRY_AGAIN_MS;
        await standby.probe();
        isIn = true;
      }
    },
    isStandingIn: () => isIn,
  };
}

function isStaying({ token, sensitive, always_sensitive: always, extractable, never_extractable: never, local }: KeyAttributes): boolean {
  return token && sensitive && always && !extractable && never && local;
}

function unproven(): KmsError {
  return new KmsError('StoreUnavailable', { hint: 'the first token is out, and the standby does not hold the same key in the same class' });
}
