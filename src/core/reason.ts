/** What a fault says of itself; anything may be thrown. */
export function reasonOf(fault: unknown): string {
  return fault instanceof Error ? fault.message : 'not an error';
}
