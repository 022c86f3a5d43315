import { formatRfc3339 } from '../../core/time.ts';

/** One JSON line per event; undefined fields are left out. */
export interface LogLines {
  write(level: 'info' | 'warn' | 'error', fields: Readonly<Record<string, string | number | boolean | undefined>>): void;
}

export function createLogLines(destination: { write(line: string): unknown }): LogLines {
  return {
    write(level, fields) {
      destination.write(`{"level":"${level}","ts":"${formatRfc3339(Date.now())}","service":"ron-kms",${JSON.stringify(fields).slice(1)}\n`);
    },
  };
}
