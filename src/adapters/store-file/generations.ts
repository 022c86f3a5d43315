/** The generation of the last change of each record, by its id; 0 where there is none. A million take 8 MB, outside of what V8 collects. */
export interface Generations {
  of(id: number): number;
  set(id: number, generation: number): void;
  /** The highest id that has one. */
  lastId(): number;
}

const ROOM_MIN = 1024;

export function createGenerations(first: Float64Array<ArrayBuffer>): Generations {
  let generations = first;
  let lastId = Math.max(0, first.findLastIndex((generation) => generation > 0));
  return {
    of: (id) => generations[id] ?? 0,
    set(id, generation) {
      if (id >= generations.length) generations = new Float64Array(generations.buffer.transfer(Math.max(ROOM_MIN, 2 * id) * generations.BYTES_PER_ELEMENT));
      generations[id] = generation;
      lastId = Math.max(lastId, id);
    },
    lastId: () => lastId,
  };
}
