import type { Alg } from '../algorithm/table.ts';
import { isAlg } from '../algorithm/table.ts';

/** `<tenant>/<purpose>/<alg>/<uuid>`, optionally `#vN` (DESIGN §2). Only `parseKid` and `kidOf` make one. */
export interface Kid {
  readonly tenant: string;
  readonly purpose: string;
  readonly alg: Alg;
  /** The kid without its version: the name of the key. */
  readonly base: string;
  readonly version: number | undefined;
}

/** The service's own keys live here; no call reaches it. */
export const RESERVED_TENANT = 'ron-kms';

export const NAME_PATTERN = '[a-z0-9][a-z0-9._-]{0,62}';
const UUID_V7 = '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}';
const KID = new RegExp(`^((${NAME_PATTERN})/(${NAME_PATTERN})/([a-z0-9+-]{1,32})/${UUID_V7})(?:#v([1-9][0-9]{0,8}))?$`);

/** Longest text a kid can have. */
export const KID_CHARS_MAX = 63 + 1 + 63 + 1 + 32 + 1 + 36 + 2 + 9;

export function parseKid(text: string): Kid | undefined {
  const match = KID.exec(text);
  if (match === null) return undefined;
  const [, base = '', tenant = '', purpose = '', alg = '', version] = match;
  if (!isAlg(alg)) return undefined;
  return { tenant, purpose, alg, base, version: version === undefined ? undefined : Number(version) };
}

export function kidBase(tenant: string, purpose: string, alg: Alg, uuid: string): string {
  return `${tenant}/${purpose}/${alg}/${uuid}`;
}

export function kidText(base: string, version: number): string {
  return `${base}#v${version}`;
}
