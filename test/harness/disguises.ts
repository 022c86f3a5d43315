/** Every way bytes get into text: hex in both cases, base64 at all three alignments, base64url, latin1, a list of numbers. */
export function disguisesOf(secret: Buffer): readonly string[] {
  const aligned = [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), secret]).toString('base64').replace(/=+$/, '');
    return [text.slice(shift === 0 ? 0 : 4, -2)];
  });
  return [secret.toString('hex'), secret.toString('hex').toUpperCase(), ...aligned, ...aligned.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')), secret.toString('latin1'), [...secret].join(','), JSON.stringify([...secret])];
}

export function findAny(text: string, secrets: readonly Buffer[]): string[] {
  return secrets.flatMap((secret) => disguisesOf(secret).filter((disguise) => text.includes(disguise)));
}
