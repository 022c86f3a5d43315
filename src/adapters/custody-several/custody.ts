import type { VersionRecord } from '../../core/key/record.ts';
import type { Custody } from '../../ports/custody.ts';
import { KmsError } from '../../core/errors.ts';
import { BackendGone } from '../../ports/custody.ts';

/** A backend with the classes of the versions that it makes. */
export interface NamedCustody {
  readonly name: string;
  readonly classes: readonly string[];
  readonly custody: Custody;
}

/**
 * Several backends over one store. The first makes every new version and alone signs and wraps; the others open what was wrapped before, until
 * their keys are rotated. Nothing signs in another's place: a version is used where it was made.
 */
export function createSeveralCustody(authority: NamedCustody, readers: readonly NamedCustody[]): Custody {
  const all = [authority, ...readers];

  const holderOf = ({ attestationClass }: VersionRecord): NamedCustody => {
    const holder = all.find(({ classes }) => classes.includes(attestationClass));
    if (holder === undefined) throw new KmsError('StoreUnavailable', { hint: `this version is held as ${attestationClass}, by a backend that is not in use: list that in service.read_backends` });
    return holder;
  };

  const authorityFor = (version: VersionRecord): Custody => {
    const holder = holderOf(version);
    if (holder !== authority) throw new KmsError('KeyState', { hint: `this version is held by ${holder.name}, which is only read: rotate the key, and ${authority.name} holds its next version` });
    return authority.custody;
  };

  return {
    generate: authority.custody.generate,
    sign: async (version, schemes, message, context) => authorityFor(version).sign(version, schemes, message, context),
    sealAead: async (version, aead, nonce, aad, plaintext) => authorityFor(version).sealAead(version, aead, nonce, aad, plaintext),
    async open(version, spec, envelope, aad) {
      const holder = holderOf(version);
      try {
        return await holder.custody.open(version, spec, envelope, aad);
      } catch (fault) {
        // One that is only read takes nothing else along.
        if (holder === authority || !(fault instanceof BackendGone)) throw fault;
        throw new KmsError('StoreUnavailable', { hint: `the backend ${holder.name}, which is only read, does not answer`, cause: fault });
      }
    },
    erase: async (version) => (isWhole(version) ? holderOf(version) : authority).custody.erase(version),
    ...(all.some(({ custody }) => custody.probe !== undefined) && {
      async probe() {
        await Promise.all([authority.custody.probe?.(), ...readers.map(({ custody }) => custody.probe?.().catch(ignore))]);
      },
    }),
  };
}

/** Of one that was only just made not even the record is there: it is the authority's. */
function isWhole(version: Pick<VersionRecord, 'kid'>): version is VersionRecord {
  return 'attestationClass' in version;
}

function ignore(): void {}
