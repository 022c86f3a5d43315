/** Inputs that were found before, a file for each target: one of them a line, as base64, the shorter ones first. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('corpus/', import.meta.url));

export function readCorpus(name: string): readonly Buffer[] {
  let text: string;
  try {
    text = readFileSync(`${FOLDER}${name}.txt`, 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').slice(0, -1).map((line) => Buffer.from(line, 'base64'));
}

export function writeCorpus(name: string, inputs: readonly Buffer[]): void {
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(`${FOLDER}${name}.txt`, inputs.map((input) => `${input.toString('base64')}\n`).join(''));
}
