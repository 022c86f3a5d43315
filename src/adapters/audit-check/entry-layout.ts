/**
 * Reads what the check needs of an entry, and holds it against its form. Nearly every entry has the layout that
 * `encodeEntry` writes, with plain ASCII in its strings: one pattern takes it in a single pass and proves that it is
 * canonical, as it lets through nothing but known members in canonical order, each at most once, strings without
 * anything to escape, and whole numbers without leading zeroes. Whatever does not fit is parsed in full.
 */
import type { EntryDetail } from '../../core/log/entry.ts';
import { isUtf8 } from 'node:buffer';
import { canonicalJson } from '../../core/canonical-json.ts';

export interface EntryFacts {
  /** RFC 3339 UTC with milliseconds: in this form, order of text is order of time. */
  readonly ts: string;
  readonly bootId: string;
  /** Decimal: nanoseconds outgrow exact numbers after some months. */
  readonly monoNs: string;
  readonly op: string;
  readonly opId: string;
  readonly result: string;
  readonly reason: string | undefined;
  /** How it came in; `service` for what the service does by itself. */
  readonly via: string;
  readonly kid: string | undefined;
  readonly keySeq: number | undefined;
  readonly generation: number | undefined;
  /** What an entry of the log itself says besides. */
  readonly detail: EntryDetail | undefined;
}

const VERSION = 1;

/** Everything of ASCII that JSON leaves as it is. */
const PLAIN = '[ !#-\\[\\]-~]*';
const COUNT = '(?:0|[1-9][0-9]{0,14})';
const SALT = '[0-9a-f]{32}';
const MONO_NS = '(?:0|[1-9][0-9]{0,19})';
const TS = '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z';

const text = (name: string, pattern = PLAIN): string => `"${name}":"${pattern}"`;
const kept = (name: string, pattern = PLAIN): string => `"${name}":"(${pattern})"`;
const keptCount = (name: string): string => `"${name}":(${COUNT})`;
const perhaps = (member: string): string => `(?:${member},)?`;

/** The members in canonical order. The last one of each object is always there, so that commas need no thought. */
const LAYOUT = new RegExp([
  '\\{"actor":\\{', perhaps(text('client_id')), perhaps(text('peer')), perhaps(text('root_key_id')), perhaps(text('token_id')), kept('via'), '\\},',
  perhaps(text('alg')), perhaps(`"attestation":\\{${text('class')},${text('evidence_sha256')}\\}`), kept('boot_id'), ',', text('corr_id'), ',',
  perhaps(keptCount('generation')), text('input_hash'), ',', perhaps(keptCount('key_seq')), perhaps(kept('kid')), kept('mono_ns', MONO_NS), ',',
  kept('op'), ',', kept('op_id'), ',', perhaps(`"policy":\\{${perhaps(text('decision_id'))}${text('mode')}\\}`), perhaps(text('purpose')),
  perhaps(kept('reason')), kept('result'), ',', text('salt', SALT), ',', perhaps(text('tenant')), kept('ts', TS), `,"v":${VERSION}\\}`,
].join(''), 'y');

/** The facts of the entry that stands in a bundle between these offsets; or what is wrong with its form. */
export function readEntry(bundle: Buffer, bundleText: string, start: number, end: number): EntryFacts | string {
  LAYOUT.lastIndex = start;
  const match = LAYOUT.exec(bundleText);
  if (match === null || LAYOUT.lastIndex !== end) return parseInFull(bundle.subarray(start, end));
  const [, via = '', bootId = '', generation, keySeq, kid, monoNs = '', op = '', opId = '', reason, result = '', ts = ''] = match;
  return { ts, bootId, monoNs, op, opId, result, reason, via, kid, keySeq: countOf(keySeq), generation: countOf(generation), detail: undefined };
}

function countOf(digits: string | undefined): number | undefined {
  return digits === undefined ? undefined : Number(digits);
}

const FORMS: Readonly<Record<string, RegExp>> = { salt: new RegExp(`^${SALT}$`), mono_ns: new RegExp(`^${MONO_NS}$`), ts: new RegExp(`^${TS}$`) };
const STRINGS = ['boot_id', 'corr_id', 'input_hash', 'mono_ns', 'op', 'op_id', 'result', 'salt', 'ts'] as const;
const OPTIONAL = { alg: 'string', kid: 'string', purpose: 'string', reason: 'string', tenant: 'string', key_seq: 'number', generation: 'number' } as const;

/** What an entry of the right form holds; `detail` stands among its members. */
interface EntryFields extends EntryDetail {
  readonly actor: { readonly via: string };
  readonly boot_id: string;
  readonly mono_ns: string;
  readonly op: string;
  readonly op_id: string;
  readonly result: string;
  readonly ts: string;
  readonly reason?: string;
  readonly kid?: string;
  readonly key_seq?: number;
  readonly generation?: number;
}

/** Any entry, however it is laid out: canonical, of our version, its members of their kinds. */
export function parseInFull(entry: Buffer): EntryFacts | string {
  if (!isUtf8(entry)) return 'is not UTF-8';
  const source = entry.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch {
    return 'is not JSON';
  }
  if (typeof value !== 'object' || value === null || canonicalJson(value) !== source) return 'is not canonical JSON';
  const fields = value as Readonly<Record<string, unknown>>;
  if (fields['v'] !== VERSION) return `is of version ${String(fields['v']).slice(0, 20)}`;
  const wrong = wrongMember(fields);
  if (wrong !== undefined) return `has a wrong ${wrong}`;
  const { ts, boot_id: bootId, mono_ns: monoNs, op, op_id: opId, result, reason, actor, kid, key_seq: keySeq, generation, ...detail } = value as EntryFields;
  return { ts, bootId, monoNs, op, opId, result, reason, via: actor.via, kid, keySeq, generation, detail };
}

function wrongMember(fields: Readonly<Record<string, unknown>>): string | undefined {
  const { actor } = fields;
  if (typeof actor !== 'object' || actor === null || !('via' in actor) || typeof actor.via !== 'string') return 'actor';
  return STRINGS.find((name) => typeof fields[name] !== 'string' || FORMS[name]?.test(fields[name]) === false)
    ?? Object.entries(OPTIONAL).find(([name, type]) => fields[name] !== undefined && !isOf(fields[name], type))?.[0];
}

function isOf(value: unknown, type: 'string' | 'number'): boolean {
  return type === 'string' ? typeof value === 'string' : Number.isSafeInteger(value) && (value as number) >= 0;
}
