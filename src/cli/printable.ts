/** Text of somebody else's, safe on a terminal: control characters and the like as escapes (a label may hold any). */
export function printable(text: string): string {
  return text.replaceAll(/[\p{C}\u2028\u2029]/gu, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`);
}

const UNITS = [['day', 86_400_000], ['hour', 3_600_000], ['minute', 60_000], ['second', 1000]] as const;

/** A length of time in its two largest units: `3 days 4 hours`. */
export function inWords(ms: number): string {
  const parts: string[] = [];
  let left = Math.abs(ms);
  for (const [name, unitMs] of UNITS) {
    const count = Math.floor(left / unitMs);
    left -= count * unitMs;
    if (count > 0) parts.push(`${count} ${name}${count === 1 ? '' : 's'}`);
    else if (parts.length > 0) break;
  }
  return parts.length === 0 ? 'less than a second' : parts.slice(0, 2).join(' ');
}
