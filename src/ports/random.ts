export interface Random {
  /** Bytes from the kernel's generator. */
  bytes(length: number): Buffer;
  uuidv7(): string;
  /** False once the kernel did not answer, or repeated itself. */
  isHealthy(): boolean;
}
