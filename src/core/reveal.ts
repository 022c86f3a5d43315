/** The token that reads a `Secret`. The architecture test lists the few files that may import it. */
export const REVEAL: unique symbol = Symbol('reveal');

export type Reveal = typeof REVEAL;
