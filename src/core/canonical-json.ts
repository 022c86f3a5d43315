/**
 * RFC 8785 canonical JSON for values that came through `JSON.parse` or are built of strings, safe
 * integers, booleans, arrays and plain objects: ECMAScript's own number and string forms, keys in
 * UTF-16 order. Checked against the RFC author's package in the tests.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`);
  return `{${members.join(',')}}`;
}
