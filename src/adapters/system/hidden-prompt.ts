/** The terminal as it is needed here. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean; setRawMode?(isRaw: boolean): unknown };
  readonly output: { write(text: string): unknown };
}

const INTERRUPT = 0x03;
const END = 0x04;
const KILL_LINE = 0x15;
const ERASERS: ReadonlySet<number> = new Set([0x08, 0x7f]);
const LINE_ENDS: ReadonlySet<number> = new Set([0x0a, 0x0d, END]);
/** What is typed beyond is left out: longer than any passphrase may be. */
const LINE_BYTES_MAX = 4096;

/**
 * Asks for lines that are not shown as they are typed; undefined where nobody sits at a terminal. The terminal
 * echoes nothing from before the first question to behind the last answer, however early somebody types. The questions
 * go to standard error, so that standard output stays the answer's.
 */
export async function askHidden(questions: readonly string[], { input, output }: Terminal = { input: process.stdin, output: process.stderr }): Promise<readonly Buffer[] | undefined> {
  if (input.isTTY !== true || input.setRawMode === undefined) return undefined;
  input.setRawMode(true);
  try {
    const answers: Buffer[] = [];
    for (const question of questions) {
      output.write(question);
      answers.push(await readLine(input));
      output.write('\n');
    }
    return answers;
  } finally {
    input.setRawMode(false);
    input.pause();
  }
}

/** Bytes all the way, and zeroed behind: a string of them could not be. */
function readLine(input: Terminal['input']): Promise<Buffer> {
  const line = Buffer.alloc(LINE_BYTES_MAX);
  let length = 0;
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      input.off('data', take);
      input.off('end', end);
      line.fill(0);
    };
    const end = (): void => {
      resolve(Buffer.from(line.subarray(0, length)));
      leave();
    };
    const take = (chunk: Buffer | string): void => {
      const typed = Buffer.from(chunk as Buffer);
      if (typeof chunk !== 'string') chunk.fill(0);
      for (const [at, byte] of typed.entries()) {
        if (byte === INTERRUPT) {
          leave();
          reject(new Error('interrupted at the question'));
          break;
        }
        if (LINE_ENDS.has(byte)) {
          end();
          // What was pasted behind the line is for the next question.
          input.pause();
          if (at + 1 < typed.length) input.unshift(Buffer.from(typed.subarray(at + 1)));
          break;
        }
        if (byte === KILL_LINE) length = 0;
        else if (ERASERS.has(byte)) length = withoutLastSign(line, length);
        else if (length < line.length) line[length++] = byte;
      }
      typed.fill(0);
    };
    input.on('data', take);
    input.on('end', end);
    input.resume();
  });
}

/** A sign of UTF-8 ends where its first byte stands: the others begin with the bits 10. */
function withoutLastSign(line: Buffer, length: number): number {
  let left = length - 1;
  while (left > 0 && ((line[left] ?? 0) & 0xc0) === 0x80) left--;
  return Math.max(left, 0);
}
