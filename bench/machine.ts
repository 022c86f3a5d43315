import { cpus, loadavg, release, totalmem, type } from 'node:os';

/** What the figures were taken on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly node: string;
  readonly openssl: string;
  /** Runnable processes in the last minute, before the bench began: what else the machine was doing. */
  readonly loadBefore: number;
}

const GIB = 1024 ** 3;

export function readMachine(): Machine {
  const [core] = cpus();
  return {
    cpu: core?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / GIB),
    kernel: `${type()} ${release()}`,
    node: process.version,
    openssl: process.versions.openssl,
    loadBefore: loadavg()[0] ?? 0,
  };
}

export function describeMachine({ cpu, cores, memoryGib, kernel, node, openssl, loadBefore }: Machine): string {
  return `${cpu}, ${cores} cores, ${memoryGib} GiB, ${kernel}, Node ${node}, OpenSSL ${openssl}, load ${loadBefore.toFixed(2)} before`;
}
