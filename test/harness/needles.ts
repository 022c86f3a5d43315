/** Bytes that are looked for, under a name that may be shown. */
export interface Needle {
  readonly name: string;
  readonly bytes: Buffer;
}

export interface Hit {
  readonly name: string;
  readonly at: number;
}

export interface Finder {
  /** No needle is longer: pieces that are searched one by one overlap by as much. */
  readonly longest: number;
  /** Every place where a needle begins. */
  search(hay: Buffer): readonly Hit[];
}

/** Looks for all needles in one pass: few places have the first two bytes of one. */
export function createFinder(needles: readonly Needle[]): Finder {
  const beginning = new Map<number, Needle[]>();
  const mayBegin = new Uint8Array(0x1_0000);
  for (const needle of needles) {
    if (needle.bytes.length < 2) throw new Error(`${needle.name} is too short to be looked for`);
    const begin = needle.bytes.readUInt16BE(0);
    mayBegin[begin] = 1;
    beginning.set(begin, [...beginning.get(begin) ?? [], needle]);
  }
  return {
    longest: Math.max(...needles.map(({ bytes }) => bytes.length)),
    search(hay) {
      const hits: Hit[] = [];
      let begin = hay[0] ?? 0;
      for (let at = 1; at < hay.length; at++) {
        begin = ((begin & 0xff) << 8) | (hay[at] ?? 0);
        if (mayBegin[begin] === 0) continue;
        for (const { name, bytes } of beginning.get(begin) ?? []) {
          if (bytes.equals(hay.subarray(at - 1, at - 1 + bytes.length))) hits.push({ name, at: at - 1 });
        }
      }
      return hits;
    },
  };
}
