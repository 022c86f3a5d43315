/** The key that a record is a version of. */
export function baseOf(kid: string): string {
  return kid.slice(0, kid.lastIndexOf('#v'));
}

export function versionNumberOf(kid: string): number {
  return Number(kid.slice(kid.lastIndexOf('#v') + 2));
}
