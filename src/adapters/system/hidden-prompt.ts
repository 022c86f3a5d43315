import { StringDecoder } from 'node:string_decoder';

/** The terminal as it is needed here. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean; setRawMode?(isRaw: boolean): unknown };
  readonly output: { write(text: string): unknown };
}

const INTERRUPT = '\u0003';
const END = '\u0004';
const KILL_LINE = '\u0015';
const ERASERS: ReadonlySet<string> = new Set(['\b', '\u007f']);
const LINE_ENDS: ReadonlySet<string> = new Set(['\r', '\n', END]);

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

function readLine(input: Terminal['input']): Promise<Buffer> {
  const decoder = new StringDecoder('utf8');
  const signs: string[] = [];
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      input.off('data', take);
      input.off('end', end);
    };
    const end = (): void => {
      leave();
      resolve(Buffer.from(signs.join('')));
    };
    const take = (chunk: Buffer | string): void => {
      const typed = Array.from(typeof chunk === 'string' ? chunk : decoder.write(chunk));
      for (const [at, sign] of typed.entries()) {
        if (sign === INTERRUPT) {
          leave();
          reject(new Error('interrupted; nothing was made'));
          return;
        }
        if (LINE_ENDS.has(sign)) {
          end();
          // What was pasted behind the line is for the next question.
          input.pause();
          if (at + 1 < typed.length) input.unshift(typed.slice(at + 1).join(''), 'utf8');
          return;
        }
        if (sign === KILL_LINE) signs.length = 0;
        else if (ERASERS.has(sign)) signs.pop();
        else signs.push(sign);
      }
    };
    input.on('data', take);
    input.on('end', end);
    input.resume();
  });
}
