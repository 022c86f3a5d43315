import type { Alg } from '../core/algorithm/table.ts';
import type { Kid } from '../core/key/kid.ts';
import type { VersionState } from '../core/key/lifecycle.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { Authorise } from './authorise.ts';
import type { Caller } from './call.ts';
import type { KeyDocument, KeyDocuments } from './key-document.ts';
import { RESERVED_TENANT } from '../core/key/kid.ts';
import { admitsKid } from '../core/macaroon/caveats.ts';

export interface ListRequest {
  readonly tenant: string | undefined;
  readonly purpose: string | undefined;
  readonly alg: Alg | undefined;
  readonly state: VersionState | undefined;
  readonly label: { readonly name: string; readonly value: string } | undefined;
  /** 1 to 1,000. */
  readonly limit: number;
  /** The base of the last key of the page before. */
  readonly after: string | undefined;
}

export interface ReadDeps {
  readonly authorise: Authorise;
  readonly store: KeyStore;
  readonly documents: KeyDocuments;
}

/** GET /keys/{kid}: the key, with those of its versions that the caveats admit. */
export function makeGetKey({ authorise, documents }: ReadDeps) {
  return async (caller: Caller, kid: Kid): Promise<KeyDocument> => {
    const { key } = await authorise.versions(caller, 'kms:read', kid);
    return documents.of(key, caller.caveats);
  };
}

/** GET /keys: only what the caveats of the token cover. */
export function makeListKeys({ authorise, store, documents }: ReadDeps) {
  return async (caller: Caller, request: ListRequest): Promise<{ readonly keys: readonly KeyDocument[]; readonly next: string | undefined }> => {
    authorise.any(caller, 'kms:read');
    const { caveats } = caller;
    // A token for one tenant never makes the store look at another's keys.
    const tenant = request.tenant ?? caveats.tenants[0];
    const { keys, next } = await store.list({
      ...request,
      tenant,
      admits: (key) => key.tenant !== RESERVED_TENANT && key.versions.some(({ version }) => admitsKid(caveats, key, version)),
    });
    return {
      keys: keys.map((key) => documents.of(key, caveats)),
      next,
    };
  };
}
