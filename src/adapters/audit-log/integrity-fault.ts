/** What was read cannot be what was written; the message names the entry or the file. */
export class IntegrityFault extends Error {
  constructor(what: string) {
    super(what);
    this.name = 'IntegrityFault';
  }
}

/** The entries do not hash to the root that was signed over them. */
export class RootMismatch extends IntegrityFault {
  readonly size: number;

  constructor(size: number) {
    super(`checkpoint: the entries below ${size} do not hash to its root`);
    this.size = size;
  }
}
