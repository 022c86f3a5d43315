export interface Random {
  /** Bytes from the kernel's generator. */
  bytes(length: number): Buffer;
  uuidv7(): string;
  uuidv4(): string;
  /** From 0 to below 1: so that those who wait do not all come at once. */
  chance(): number;
  /** False once the kernel did not answer, or repeated itself. */
  isHealthy(): boolean;
}
