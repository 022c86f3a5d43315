const MAJOR_NEEDED = 26;

export const NODE_NEEDED = `needs Node ${MAJOR_NEEDED}, which its own packages bring: start it as bin/ron-kms, or through npm`;

/** The npm that installs may be of an older Node; the code itself runs on the pinned one only. */
export function isNodeCurrent(version: string): boolean {
  return Number(/^v(\d+)\./.exec(version)?.[1]) >= MAJOR_NEEDED;
}
