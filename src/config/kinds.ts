import { DURATION_PATTERN, formatDuration, parseDuration } from '../core/time.ts';

/** How a setting is written: read from TOML's value or from the text of a flag or variable, and shown again. */
export interface Kind<T> {
  /** In words, for messages: `a duration such as 5s`. */
  readonly form: string;
  /** Undefined when the value does not fit. */
  readonly fromToml: (value: unknown) => T | undefined;
  readonly fromText: (text: string) => T | undefined;
  /** What a value is in the file, as JSON Schema; `fromToml` may want more of it. */
  readonly schema: Readonly<Record<string, unknown>>;
  readonly show: (value: T) => string | number | boolean | readonly (string | number)[];
}

const SIZE = /^(0|[1-9]\d{0,11})(B|KiB|MiB|GiB)$/;
const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/;
const UNIT_BYTES = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

const ofText = <T>(form: string, schema: Kind<T>['schema'], fromText: Kind<T>['fromText'], show: Kind<T>['show']): Kind<T> => ({
  form, fromText, show,
  schema: { type: 'string', ...schema },
  fromToml: (value) => (typeof value === 'string' ? fromText(value) : undefined),
});

/** Milliseconds. */
export const duration = ofText('a duration such as 250ms, 5s or 24h', { pattern: DURATION_PATTERN }, parseDuration, formatDuration);

/** Bytes. */
export const size = ofText('a size such as 64KiB or 1MiB', { pattern: SIZE.source }, parseSize, showSize);

export const string = ofText('a string', { minLength: 1 }, (text) => (text === '' ? undefined : text), (value: string) => value);

const matching = (form: string, pattern: RegExp): Kind<string> => ofText(form, { pattern: pattern.source }, (text) => (pattern.test(text) ? text : undefined), (value) => value);

export const uuid = matching('a UUID in lower case', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);

/** Anything else may be the secret itself, in the wrong place. */
export const variableName = matching('the name of a variable, such as KMS_PASSPHRASE', /^[A-Za-z_][A-Za-z0-9_]*$/);

export const verifierKey = matching('a verifier key: <name>+<8 hex>+<base64>', /^[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}$/);

/** `host:port`; port 0 takes a free one. */
export const address = ofText('an address such as 127.0.0.1:9446 or [::1]:9446', { pattern: ADDRESS.source }, parseAddress, ({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`);

export interface Address {
  readonly host: string;
  readonly port: number;
}

export function integer(min: number, max: number): Kind<number> {
  const inRange = (value: number): number | undefined => (Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined);
  return {
    form: `a whole number from ${min} to ${max}`,
    schema: { type: 'integer', minimum: min, maximum: max },
    fromToml: (value) => (typeof value === 'number' ? inRange(value) : undefined),
    fromText: (text) => (/^\d{1,15}$/.test(text) ? inRange(Number(text)) : undefined),
    show: (value) => value,
  };
}

/** Ids of users or groups. */
export const numbers: Kind<readonly number[]> = {
  form: 'a list of whole numbers',
  schema: { type: 'array', minItems: 1, items: { type: 'integer', minimum: 0, maximum: 2 ** 32 - 1 } },
  fromToml: (value) => (Array.isArray(value) && value.length > 0 && value.every((one) => Number.isInteger(one) && one >= 0 && one < 2 ** 32) ? value as number[] : undefined),
  fromText: (text) => (/^\d{1,10}(,\d{1,10})*$/.test(text) ? numbers.fromToml(text.split(',').map(Number)) : undefined),
  show: (value) => value.map(String),
};

const PCR_MAX = 23;

export const pcrs: Kind<readonly number[]> = {
  form: `a list of PCRs, 0 to ${PCR_MAX}, or an empty one`,
  schema: { type: 'array', items: { type: 'integer', minimum: 0, maximum: PCR_MAX } },
  fromToml: (value) => (Array.isArray(value) && value.every((one) => Number.isInteger(one) && one >= 0 && one <= PCR_MAX) ? value as number[] : undefined),
  fromText: (text) => (text === '' ? [] : /^\d{1,2}(,\d{1,2})*$/.test(text) ? pcrs.fromToml(text.split(',').map(Number)) : undefined),
  show: (value) => value,
};

/** Of the range that a TPM's owner gives out (TCG Registry of Reserved TPM 2.0 Handles §2.2.2). */
export const nvIndex = ofText('an NV index such as 0x01800a10', { pattern: '^0x01[89a-f][0-9a-f]{5}$' }, (text) => (/^0x01[89a-f][0-9a-f]{5}$/.test(text) ? Number(text) : undefined), (value) => `0x${value.toString(16).padStart(8, '0')}`);

export const boolean: Kind<boolean> = {
  form: 'true or false',
  schema: { type: 'boolean' },
  fromToml: (value) => (typeof value === 'boolean' ? value : undefined),
  fromText: (text) => ({ true: true, false: false })[text],
  show: (value) => value,
};

export function oneOf<const T extends string>(names: readonly T[]): Kind<T> {
  return ofText(`one of ${names.join(', ')}`, { enum: names }, (text) => names.find((name) => name === text), (value) => value);
}

/** A list without repeats, in the order given; with commas in flags and variables. */
export function someOf<const T extends string>(names: readonly T[]): Kind<readonly T[]> {
  const read = (values: readonly unknown[]): readonly T[] | undefined => {
    const found = names.filter((name) => values.includes(name));
    const ordered = values.flatMap((value) => found.filter((name) => name === value));
    return values.length > 0 && ordered.length === values.length && found.length === values.length ? ordered : undefined;
  };
  return {
    form: `a list of ${names.join(', ')}`,
    schema: { type: 'array', minItems: 1, uniqueItems: true, items: { enum: names } },
    fromToml: (value) => (Array.isArray(value) ? read(value) : undefined),
    fromText: (text) => read(text.split(',')),
    show: (value) => value,
  };
}

function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text);
  return match === null ? undefined : Number(match[1]) * UNIT_BYTES[match[2] as keyof typeof UNIT_BYTES];
}

function showSize(bytes: number): string {
  const unit = (['GiB', 'MiB', 'KiB'] as const).find((name) => bytes > 0 && bytes % UNIT_BYTES[name] === 0) ?? 'B';
  return `${bytes / UNIT_BYTES[unit]}${unit}`;
}

function parseAddress(text: string): Address | undefined {
  const match = ADDRESS.exec(text);
  const port = Number(match?.[3]);
  return match === null || port > 65_535 ? undefined : { host: match[1] ?? match[2] ?? '', port };
}
