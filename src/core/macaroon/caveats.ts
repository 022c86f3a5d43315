import type { Kid } from '../key/kid.ts';
import { BlockList, isIP } from 'node:net';
import { algNames } from '../algorithm/table.ts';
import { NAME_PATTERN, parseKid } from '../key/kid.ts';
import { parseRfc3339 } from '../time.ts';

export const scopes = [
  'kms:read', 'kms:sign', 'kms:verify', 'kms:wrap', 'kms:unwrap', 'kms:rewrap', 'kms:rotate', 'kms:destroy', 'kms:audit', 'kms:admin',
] as const;

export type Scope = (typeof scopes)[number];

/** What all caveats of one token together leave: every list is a conjunction. */
export interface Caveats {
  readonly scopes: ReadonlySet<Scope>;
  readonly tenants: readonly string[];
  readonly purposes: readonly string[];
  readonly algs: readonly string[];
  readonly kids: readonly Kid[];
  readonly expiresAtMs: number;
  readonly notBeforeMs: number | undefined;
  /** The earliest of them: what a token's life is counted from, so that a later one added by its holder makes it no shorter. */
  readonly firstNotBeforeMs: number | undefined;
  readonly peers: readonly BlockList[];
  /** SHA-256 of the client certificate, lower-case hex. */
  readonly certificates: readonly string[];
  readonly rates: readonly RateCaveat[];
}

interface RateCaveat {
  readonly perSecond: number;
  /** Which caveat of the token it is: its bucket is keyed by the chain value there. */
  readonly position: number;
}

/** Why a list of caveats leaves nothing. */
export type CaveatFault = 'an unknown or malformed caveat' | 'no scope' | 'no tenant' | 'no expiry';

/** Tenant of a token for all of them. */
const ANY_TENANT = '*';

interface Draft {
  scopes: ReadonlySet<Scope> | undefined;
  hasTenant: boolean;
  tenants: string[];
  purposes: string[];
  algs: string[];
  kids: Kid[];
  expiresAtMs: number | undefined;
  notBeforeMs: number | undefined;
  firstNotBeforeMs: number | undefined;
  peers: BlockList[];
  certificates: string[];
  rates: RateCaveat[];
}

const NAME = new RegExp(`^${NAME_PATTERN}$`);
const CERTIFICATE = /^sha256:[0-9a-f]{64}$/;
const RATE = /^[1-9][0-9]{0,6}$/;

/** One row per caveat of DESIGN §5: narrows the draft by the value, or says false to a malformed one. */
const caveatTable: Readonly<Record<string, (draft: Draft, value: string, position: number) => boolean>> = {
  scope(draft, value) {
    const named = value.split(',');
    if (!named.every((name): name is Scope => scopes.some((scope) => scope === name))) return false;
    const before = draft.scopes;
    draft.scopes = new Set(before === undefined ? named : named.filter((scope) => before.has(scope)));
    return true;
  },
  tenant(draft, value) {
    draft.hasTenant = true;
    return value === ANY_TENANT || pushIf(draft.tenants, value, NAME.test(value));
  },
  purpose: (draft, value) => pushIf(draft.purposes, value, NAME.test(value)),
  alg: (draft, value) => pushIf(draft.algs, value, algNames.some((alg) => alg === value)),
  kid(draft, value) {
    const kid = parseKid(value);
    return kid !== undefined && pushIf(draft.kids, kid, true);
  },
  expires(draft, value) {
    const ms = parseRfc3339(value);
    if (ms === undefined) return false;
    draft.expiresAtMs = Math.min(ms, draft.expiresAtMs ?? ms);
    return true;
  },
  'not-before'(draft, value) {
    const ms = parseRfc3339(value);
    if (ms === undefined) return false;
    draft.notBeforeMs = Math.max(ms, draft.notBeforeMs ?? ms);
    draft.firstNotBeforeMs = Math.min(ms, draft.firstNotBeforeMs ?? ms);
    return true;
  },
  peer(draft, value) {
    const subnet = parseCidr(value);
    return subnet !== undefined && pushIf(draft.peers, subnet, true);
  },
  mtls: (draft, value) => pushIf(draft.certificates, value.slice('sha256:'.length), CERTIFICATE.test(value)),
  rps: (draft, value, position) => pushIf(draft.rates, { perSecond: Number(value), position }, RATE.test(value)),
};

/** Reads `name = value` caveats into what they leave; an unknown or malformed one leaves nothing. */
export function readCaveats(texts: readonly string[]): Caveats | CaveatFault {
  const draft: Draft = {
    scopes: undefined, hasTenant: false, tenants: [], purposes: [], algs: [], kids: [],
    expiresAtMs: undefined, notBeforeMs: undefined, firstNotBeforeMs: undefined, peers: [], certificates: [], rates: [],
  };
  for (const [position, text] of texts.entries()) {
    const equals = text.indexOf(' = ');
    const name = text.slice(0, equals);
    if (equals < 0 || !Object.hasOwn(caveatTable, name)) return 'an unknown or malformed caveat';
    if (caveatTable[name]?.(draft, text.slice(equals + 3), position) !== true) return 'an unknown or malformed caveat';
  }
  const { scopes: left, hasTenant, expiresAtMs, ...rest } = draft;
  if (left === undefined) return 'no scope';
  if (!hasTenant) return 'no tenant';
  if (expiresAtMs === undefined) return 'no expiry';
  return { ...rest, scopes: left, expiresAtMs };
}

/** What a key is called before it has a kid. */
export interface KeyName {
  readonly tenant: string;
  readonly purpose: string;
  readonly alg: string;
}

/** Whether the caveats admit a key of this name, leaving kid caveats aside. */
export function admitsName(caveats: Caveats, name: KeyName): boolean {
  return all(caveats.tenants, name.tenant) && all(caveats.purposes, name.purpose) && all(caveats.algs, name.alg);
}

/** Whether the caveats admit a version of a key; with no version, whether they admit any of its versions. */
export function admitsKid(caveats: Caveats, key: KeyName & { readonly base: string }, version: number | undefined): boolean {
  return admitsName(caveats, key) && caveats.kids.every((only) => only.base === key.base && (only.version === undefined || version === undefined || only.version === version));
}

function all(allowed: readonly string[], value: string): boolean {
  return allowed.every((only) => only === value);
}

function pushIf<T>(list: T[], value: T, isWellFormed: boolean): boolean {
  if (isWellFormed) list.push(value);
  return isWellFormed;
}

/** `10.0.0.0/8` or `fd00::/8` (RFC 4632, RFC 4291 §2.3). */
function parseCidr(text: string): BlockList | undefined {
  const [address = '', prefix = '', ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(prefix) || Number(prefix) > (family === 4 ? 32 : 128)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, Number(prefix), family === 4 ? 'ipv4' : 'ipv6');
  return list;
}
