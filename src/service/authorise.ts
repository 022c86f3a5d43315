import type { Kid } from '../core/key/kid.ts';
import type { KeyRecord, VersionRecord } from '../core/key/record.ts';
import type { Caveats, KeyName, Scope } from '../core/macaroon/caveats.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { Caller, ClientCall, Subject } from './call.ts';
import type { RateLimits } from './rate-limits.ts';
import { specOf } from '../core/algorithm/table.ts';
import { KmsError } from '../core/errors.ts';
import { RESERVED_TENANT } from '../core/key/kid.ts';
import { currentVersion } from '../core/key/record.ts';
import { admitsKid, admitsName } from '../core/macaroon/caveats.ts';

/**
 * Holds a caller's caveats against what it wants to do. A kid that the caveats do not admit is refused
 * before anyone looks whether it is there, so a refusal tells nothing.
 */
export interface Authorise {
  /** A call without a key. */
  any(caller: Caller, scope: Scope | readonly Scope[]): void;
  /** A call about the whole instance: a token that is for one tenant, or for some keys, is not for that. */
  instance(caller: Caller, scope: Scope): void;
  /** A call about a key that is yet to be made. */
  name(call: ClientCall, scope: Scope, name: KeyName): void;
  /** The key and the named version, else the current one; sets the call's subject. */
  version(call: ClientCall, scope: Scope | readonly Scope[], kid: Kid): Promise<Subject>;
  /** The current version of a key that this call was authorised for; becomes the call's subject. */
  current(call: ClientCall, key: KeyRecord): Subject;
  /** The key and those of its versions that the caveats admit: the named one, else newest first. */
  versions(caller: Caller, scope: Scope, kid: Kid): Promise<{ readonly key: KeyRecord; readonly versions: readonly VersionRecord[] }>;
}

export function makeAuthorise({ store, rates }: { readonly store: KeyStore; readonly rates: RateLimits }): Authorise {
  const enter = (caller: Caller, needed: Scope | readonly Scope[], admits: boolean): void => {
    if (!hasScope(caller, needed)) throw new KmsError('NoCapability', { hint: 'the token lacks the scope for this call' });
    if (!admits) throw new KmsError('NoCapability', { hint: 'the caveats of the token do not admit this' });
    rates.chargeCaveats(caller);
  };

  /** Not looked for unless it may be: a refusal does not tell what is there. */
  const find = (caller: Caller, scope: Scope | readonly Scope[], kid: Kid): Promise<KeyRecord | undefined> => {
    enter(caller, scope, kid.tenant !== RESERVED_TENANT && admitsKid(caller.caveats, kid, kid.version));
    return store.find(kid.base);
  };

  return {
    any(caller, scope) {
      enter(caller, scope, true);
    },

    instance(caller, scope) {
      enter(caller, scope, admitsEverything(caller.caveats));
    },

    name(call, scope, name) {
      const { caveats } = call.caller;
      enter(call.caller, scope, name.tenant !== RESERVED_TENANT && caveats.kids.length === 0 && admitsName(caveats, name));
      call.admitted = name;
    },

    async version(call, scope, kid) {
      const key = await find(call.caller, scope, kid);
      call.admitted = kid;
      if (key === undefined) throw new KmsError('NotFound');
      return subjectOf(call, key, kid.version === undefined ? currentVersion(key) : key.versions[kid.version - 1]);
    },

    current(call, key) {
      return subjectOf(call, key, currentVersion(key));
    },

    async versions(caller, scope, kid) {
      const key = await find(caller, scope, kid);
      if (key === undefined) throw new KmsError('NotFound');
      const named = kid.version === undefined ? key.versions.toReversed() : key.versions.slice(kid.version - 1, kid.version);
      if (named.length === 0) throw new KmsError('NotFound');
      const versions = named.filter(({ version }) => admitsKid(caller.caveats, kid, version));
      if (versions.length === 0) throw versionDenied();
      return { key, versions };
    },
  };
}

/** Neither a tenant nor a kind of key is left out. */
function admitsEverything({ tenants, purposes, algs, kids }: Caveats): boolean {
  return [tenants, purposes, algs, kids].every((only) => only.length === 0);
}

/** One scope, or for a list: its first, or else all of the rest together (rewrap, or wrap and unwrap). */
function hasScope({ caveats }: Caller, needed: Scope | readonly Scope[]): boolean {
  if (typeof needed === 'string') return caveats.scopes.has(needed);
  const [first, ...rest] = needed;
  return (first !== undefined && caveats.scopes.has(first)) || (rest.length > 0 && rest.every((scope) => caveats.scopes.has(scope)));
}

function subjectOf(call: ClientCall, key: KeyRecord, version: VersionRecord | undefined): Subject {
  if (version === undefined) throw new KmsError('NotFound');
  if (!admitsKid(call.caller.caveats, key, version.version)) throw versionDenied();
  call.subject = { key, version, spec: specOf(key.alg, key.parameterSet) };
  return call.subject;
}

function versionDenied(): KmsError {
  return new KmsError('NoCapability', { hint: 'the caveats of the token do not admit this version' });
}
