import type { Parsed } from './command.ts';
import { parseKid } from '../core/key/kid.ts';
import { UsageError } from './command.ts';

/** The value of a flag; undefined when it was not given. */
export function flag({ flags }: Parsed, name: string): string | undefined {
  const value = flags[name];
  return typeof value === 'string' ? value : undefined;
}

/** Every value of a flag that may stand more than once. */
export function flagList({ flags }: Parsed, name: string): readonly string[] {
  const value = flags[name];
  return Array.isArray(value) ? (value as readonly string[]) : [];
}

export function isOn({ flags }: Parsed, name: string): boolean {
  return flags[name] === true;
}

export function neededFlag(parsed: Parsed, name: string, say: string): string {
  const value = flag(parsed, name);
  if (value === undefined) throw new UsageError(`--${name} is missing: ${say}`);
  return value;
}

/** `k=v` flags as a record; undefined when there are none. */
export function labelsOf(parsed: Parsed): Record<string, string> | undefined {
  const pairs = flagList(parsed, 'label').map((text) => {
    const equals = text.indexOf('=');
    if (equals < 1) throw new UsageError('--label is written name=value');
    return [text.slice(0, equals), text.slice(equals + 1)] as const;
  });
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
}

/** A kid as it was typed, held against its form before anybody is asked. */
export function kidOf(text: string | undefined, where: string): string {
  if (text === undefined || parseKid(text) === undefined) throw new UsageError(`${where} is a kid: <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N>; ron-kms keys list shows them`);
  return text;
}

/** The one of the names that a flag gives; the wire has its own check, this one says it before a call. */
export function oneOf<const T extends string>(parsed: Parsed, name: string, names: readonly T[]): T | undefined {
  const value = flag(parsed, name);
  if (value === undefined) return undefined;
  const found = names.find((known) => known === value);
  if (found === undefined) throw new UsageError(`--${name} is one of ${names.join(', ')}`);
  return found;
}

/** The object without the fields that are undefined: what was not asked for is not sent. */
export function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

/** Standard base64 with padding, as the wire takes it. */
export function isBase64(text: string): boolean {
  return Buffer.from(text, 'base64').toString('base64') === text;
}

export function base64Flag(parsed: Parsed, name: string): string | undefined {
  const value = flag(parsed, name);
  if (value !== undefined && !isBase64(value)) throw new UsageError(`--${name} is standard base64 with padding`);
  return value;
}
