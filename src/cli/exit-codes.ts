/** What the process says when it ends; listed in `ron-kms help`. */
export const EXIT = {
  ok: 0,
  /** The service refused, or could not do it. */
  refused: 1,
  /** The command line or the configuration is wrong. */
  usage: 2,
  /** Verified, and the answer is no. */
  invalid: 3,
  /** The service cannot be reached. */
  unreachable: 4,
  /** A token, TPM or key service says no: somebody has to look, and trying again may lock it. */
  device: 5,
} as const;
