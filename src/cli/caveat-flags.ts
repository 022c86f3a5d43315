import type { Parsed } from './command.ts';
import { readCaveats } from '../core/macaroon/caveats.ts';
import { formatRfc3339, parseDuration, parseRfc3339 } from '../core/time.ts';
import { UsageError } from './command.ts';
import { flag, flagList, given } from './flags.ts';

interface CaveatFlag {
  readonly about: string;
  /** From the value as it is typed to the one of the caveat. */
  readonly write: (value: string) => string;
  readonly isList?: true;
}

const asTyped = (value: string): string => value;

/** A flag per caveat that can be written short; its name is the caveat's. */
const caveatFlags: Readonly<Record<string, CaveatFlag>> = {
  scope: { about: 'kms:sign,kms:verify; more than once is all of them together', write: scopeName, isList: true },
  tenant: { about: 'one tenant, or * for all', write: asTyped },
  purpose: { about: 'keys for this purpose only', write: asTyped },
  alg: { about: 'keys of this algorithm only', write: asTyped },
  kid: { about: 'this key only, or this version of it', write: asTyped },
  expires: { about: 'how long it lives (1h, 7d), or RFC 3339', write: (value) => instantOf(value, 'expires') },
  'not-before': { about: 'from when it is good: from now (10m), or RFC 3339', write: (value) => instantOf(value, 'not-before') },
  peer: { about: 'from these addresses only: 10.0.0.0/8', write: asTyped },
  mtls: { about: 'with this client certificate only: sha256:<hex>', write: asTyped },
  rps: { about: 'at most so many calls a second', write: asTyped },
};

export const caveatOptions = Object.fromEntries(Object.entries(caveatFlags).map(([name, { isList }]) =>
  [name, isList === true ? { type: 'string' as const, multiple: true } : { type: 'string' as const }]));

export const caveatAbout: Readonly<Record<string, string>> = Object.fromEntries(Object.entries(caveatFlags).map(([name, { about }]) => [name, about]));

/** The caveats that the flags ask for; throws on one that would make the token good for nothing. */
export function caveatsFrom(parsed: Parsed): readonly string[] {
  return Object.entries(caveatFlags).flatMap(([name, { write, isList }]) => {
    const values = isList === true ? flagList(parsed, name).flatMap((value) => value.split(',')) : Object.values(given({ value: flag(parsed, name) }));
    if (values.length === 0) return [];
    const caveat = `${name} = ${values.map(write).join(',')}`;
    if (!isKnownCaveat(caveat)) throw new UsageError(`--${name} does not fit: ${caveatAbout[name] ?? ''}`);
    return [caveat];
  });
}

/** Whether the service would understand it: one that it does not denies everything. */
export function isKnownCaveat(caveat: string): boolean {
  return readCaveats([caveat]) !== 'an unknown or malformed caveat';
}

/** `sign` for `kms:sign`. */
function scopeName(text: string): string {
  const name = text.trim();
  return name.includes(':') ? name : `kms:${name}`;
}

function instantOf(text: string, name: string): string {
  const aheadMs = parseDuration(text);
  const ms = aheadMs === undefined ? parseRfc3339(text) : Date.now() + aheadMs;
  // Beyond the year 9999 there is no RFC 3339.
  if (ms === undefined || ms > Date.parse('9999-12-31T23:59:59Z')) throw new UsageError(`--${name} is a duration from now such as 1h or 7d, or a time such as 2026-12-31T00:00:00Z`);
  return formatRfc3339(ms);
}
