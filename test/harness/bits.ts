/** Every way to change one bit of one leaf of a JSON text that keeps it JSON: where it was, and the new text. */
export function withOneBitFlipped(text: string): readonly { readonly where: string; readonly text: string }[] {
  return leavesOf(JSON.parse(text)).flatMap((path) => {
    const flipped = changed(JSON.parse(text), path, flipLast);
    return [{ where: path.join('.'), text: JSON.stringify(flipped) }, { where: `${path.join('.')} from its beginning`, text: JSON.stringify(changed(JSON.parse(text), path, flipFirst)) }];
  });
}

type Path = readonly string[];

function leavesOf(value: unknown, path: Path = []): readonly Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  return Object.entries(value).flatMap(([name, inner]) => leavesOf(inner, [...path, name]));
}

function changed(document: any, path: Path, change: (leaf: string | number) => string | number): unknown {
  const parent = path.slice(0, -1).reduce((inner, step) => inner[step], document);
  const last = path.at(-1) ?? '';
  parent[last] = change(parent[last]);
  return document;
}

function flipFirst(leaf: string | number): string | number {
  return typeof leaf === 'number' ? leaf ^ 1 : String.fromCodePoint((leaf.codePointAt(0) ?? 0) ^ 1) + leaf.slice(1);
}

/** Of a base64 text the last sign before the padding, whose low bits may be no part of any byte. */
function flipLast(leaf: string | number): string | number {
  if (typeof leaf === 'number') return leaf ^ 2;
  const end = leaf.replace(/=+$/, '').length;
  return leaf.slice(0, end - 1) + String.fromCodePoint((leaf.codePointAt(end - 1) ?? 0) ^ 1) + leaf.slice(end);
}
