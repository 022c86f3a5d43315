import type { KeyStore } from '../ports/key-store.ts';
import type { Authorise } from './authorise.ts';
import type { ClientCall, Subject } from './call.ts';
import type { OwnChanges } from './own-changes.ts';
import { KmsError } from '../core/errors.ts';
import { currentVersion } from '../core/key/record.ts';
import { admitsKid } from '../core/macaroon/caveats.ts';

export interface RenewSpentDeps {
  readonly store: Pick<KeyStore, 'isSpent' | 'find'>;
  readonly authorise: Pick<Authorise, 'current'>;
  readonly own: Pick<OwnChanges, 'rotate'>;
}

/**
 * What a wrap goes on with: the subject, or where it is an AEAD version without nonces, a new version of its key. So it is
 * after a restore (DESIGN §3): nobody knows which nonces were used since the backup.
 */
export type RenewSpent = (call: ClientCall, subject: Subject, isVersionNamed: boolean) => Promise<Subject>;

export function makeRenewSpent({ store, authorise, own }: RenewSpentDeps): RenewSpent {
  const underWay = new Map<string, Promise<void>>();

  const currentOf = async (base: string) => {
    const key = await store.find(base);
    if (key === undefined) throw new KmsError('NotFound');
    return key;
  };

  /** Those who come at once wait for one new version. */
  const renew = async (base: string): Promise<void> => {
    if (!(await store.isSpent(currentVersion(await currentOf(base)).kid))) return;
    const rotation = underWay.get(base) ?? own.rotate(base).finally(() => underWay.delete(base));
    underWay.set(base, rotation);
    await rotation;
  };

  return async (call, subject, isVersionNamed) => {
    const { key, version, spec } = subject;
    if (spec.kind !== 'aead' || !(await store.isSpent(version.kid))) return subject;
    if (isVersionNamed || !admitsKid(call.caller.caveats, key, key.versions.length + 1)) throw new KmsError('KeyState', { hint: 'this version has no nonces left, as after a restore: it only unwraps. Wrap with the key as a whole, which makes a new version' });
    await renew(key.base);
    return authorise.current(call, await currentOf(key.base));
  };
}
