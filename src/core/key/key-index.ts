/**
 * Numbers keys by their names, 0, 1, 2 and so on as they come. What names have in common stands once, and a
 * UUID takes 16 bytes: a million keys take 30 MB, and 130 MB as the strings of a `Map`.
 */
export interface KeyIndex {
  size(): number;
  find(base: string): number | undefined;
  /** The number of a name that was not there. */
  add(base: string): number;
  /** Its number; a name that was not there gets the next one. */
  findOrAdd(base: string): number;
  nameOf(number: number): string;
  /** Gives its memory away; it is not asked again. */
  pack(): PackedKeyIndex;
}

/** An index on its way to another thread. */
export interface PackedKeyIndex {
  readonly prefixes: readonly string[];
  /** For each key, the number of its prefix. */
  readonly prefixOf: Uint32Array<ArrayBuffer>;
  /** For each key, 16 bytes. */
  readonly uuids: Uint8Array<ArrayBuffer>;
}

const UUID_CHARS = 36;
const UUID_BYTES = 16;
/** Ends a name that ends with no UUID, and is its own prefix. */
const WHOLE = '\0';
const NAMES_AT_FIRST = 1024;
const NONE = -1;

const NOTHING: PackedKeyIndex = { prefixes: [], get prefixOf() { return new Uint32Array(0); }, get uuids() { return new Uint8Array(0); } };

/** The name that is looked for, taken apart: one at a time. */
const wanted = { prefix: '', uuid: Buffer.alloc(UUID_BYTES) };

/** An empty one, or the one that was packed: its memory is taken over. */
export function createKeyIndex(packed: PackedKeyIndex = NOTHING): KeyIndex {
  const prefixes = [...packed.prefixes];
  const numberOfPrefix = new Map(prefixes.map((prefix, number) => [prefix, number]));
  let size = packed.prefixOf.length;
  let prefixOf = packed.prefixOf;
  let uuids = Buffer.from(packed.uuids.buffer, packed.uuids.byteOffset, packed.uuids.length);
  /** Open addressing: the number of a name where its hash says, or behind. At most half of it is used. */
  let table = new Int32Array(0);

  /** The place of the wanted name in the table, or the free one where it belongs. */
  const placeOf = (prefix: number): number => {
    const mask = table.length - 1;
    for (let place = hashOf(prefix, wanted.uuid, 0) & mask; ; place = (place + 1) & mask) {
      const number = table[place] ?? NONE;
      if (number === NONE || (prefixOf[number] === prefix && isWanted(uuids, number))) return place;
    }
  };

  /** Of the prefix of the wanted name, mostly the one of the name before. */
  let latest = { prefix: '', number: NONE };
  const prefixNumber = (): number => {
    if (latest.number === NONE || latest.prefix !== wanted.prefix) latest = { prefix: wanted.prefix, number: numberOfPrefix.get(wanted.prefix) ?? NONE };
    return latest.number;
  };

  const findWanted = (): number => {
    const prefix = prefixNumber();
    return prefix === NONE ? NONE : (table[placeOf(prefix)] ?? NONE);
  };

  const addWanted = (): number => {
    if (size === prefixOf.length) makeRoom(2 * size);
    const known = prefixNumber();
    const prefix = known === NONE ? addPrefix(wanted.prefix) : known;
    table[placeOf(prefix)] = size;
    prefixOf[size] = prefix;
    uuids.set(wanted.uuid, size * UUID_BYTES);
    return size++;
  };

  const addPrefix = (text: string): number => {
    // A copy: a part of a longer text would keep the whole of it in memory.
    const prefix = Buffer.from(text).toString();
    latest = { prefix, number: prefixes.length };
    numberOfPrefix.set(prefix, prefixes.length);
    return prefixes.push(prefix) - 1;
  };

  /** Room for so many names. */
  const makeRoom = (names: number): void => {
    prefixOf = new Uint32Array(prefixOf.buffer.transfer(names * prefixOf.BYTES_PER_ELEMENT));
    uuids = Buffer.from(uuids.buffer.transfer(names * UUID_BYTES));
    fillTable(names);
  };

  const fillTable = (names: number): void => {
    // A power of two, so that a mask takes the place of a division.
    table.buffer.transfer(0);
    table = new Int32Array(2 ** Math.ceil(Math.log2(2 * names))).fill(NONE);
    const mask = table.length - 1;
    for (let number = 0; number < size; number++) {
      let place = hashOf(prefixOf[number] ?? NONE, uuids, number * UUID_BYTES) & mask;
      while (table[place] !== NONE) place = (place + 1) & mask;
      table[place] = number;
    }
  };

  if (size === 0) makeRoom(NAMES_AT_FIRST);
  else fillTable(size);

  return {
    size: () => size,
    find(base) {
      takeApart(base);
      const number = findWanted();
      return number === NONE ? undefined : number;
    },
    add(base) {
      takeApart(base);
      return addWanted();
    },
    findOrAdd(base) {
      takeApart(base);
      const number = findWanted();
      return number === NONE ? addWanted() : number;
    },
    nameOf: (number) => nameFrom(prefixes[prefixOf[number] ?? NONE] ?? '', uuids, number),
    pack() {
      table.buffer.transfer(0);
      return {
        prefixes,
        prefixOf: new Uint32Array(prefixOf.buffer.transfer(size * prefixOf.BYTES_PER_ELEMENT)),
        uuids: new Uint8Array(uuids.buffer.transfer(size * UUID_BYTES)),
      };
    },
  };
}

/** The names of an index, in their order. */
export function* namesIn({ prefixes, prefixOf, uuids }: PackedKeyIndex): Generator<string> {
  const bytes = Buffer.from(uuids.buffer, uuids.byteOffset, uuids.length);
  for (const [number, prefix] of prefixOf.entries()) yield nameFrom(prefixes[prefix] ?? '', bytes, number);
}

function takeApart(base: string): void {
  const from = base.length - UUID_CHARS;
  if (from >= 0 && readUuid(base, from, wanted.uuid)) {
    wanted.prefix = base.slice(0, from);
  } else {
    wanted.prefix = base + WHOLE;
    wanted.uuid.fill(0);
  }
}

/** Where the two digits of each byte stand in the text of a UUID (RFC 9562 §4). */
const DIGITS_AT = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const;
const DASHES_AT = [8, 13, 18, 23] as const;
const DASH = 0x2d;
/** Of each character, what it counts as a digit of lower-case hex; -1 for any other. */
const digitOf = Int8Array.from({ length: 128 }, (_, code) => '0123456789abcdef'.indexOf(String.fromCharCode(code)));

/** False when no UUID in lower case stands there. A start reads a million of them. */
function readUuid(text: string, from: number, into: Buffer): boolean {
  for (const at of DASHES_AT) if (text.charCodeAt(from + at) !== DASH) return false;
  let i = 0;
  for (const at of DIGITS_AT) {
    const high = digitOf[text.charCodeAt(from + at)] ?? -1;
    const low = digitOf[text.charCodeAt(from + at + 1)] ?? -1;
    if (high < 0 || low < 0) return false;
    into[i++] = high * 16 + low;
  }
  return true;
}

function nameFrom(prefix: string, uuids: Buffer, number: number): string {
  if (prefix.endsWith(WHOLE)) return prefix.slice(0, -WHOLE.length);
  const hex = uuids.toString('hex', number * UUID_BYTES, (number + 1) * UUID_BYTES);
  return `${prefix}${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function isWanted(uuids: Buffer, number: number): boolean {
  for (let i = 0, at = number * UUID_BYTES; i < UUID_BYTES; i++) if (uuids[at + i] !== wanted.uuid[i]) return false;
  return true;
}

/** Spreads what is random in a UUID, and what is counted in one, over all bits: multiply and shift, as in Murmur3. */
function hashOf(prefix: number, uuids: Buffer, at: number): number {
  let hash = prefix;
  for (let i = 0; i < UUID_BYTES; i += 4) {
    hash = Math.imul(hash ^ uuids.readInt32LE(at + i), 0x85_eb_ca_6b);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash, 0xc2_b2_ae_35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
