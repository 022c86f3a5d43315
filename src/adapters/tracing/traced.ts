import type { Tracing } from '../../ports/tracing.ts';
import { noTracing } from './no-tracing.ts';

type Work = (...args: readonly unknown[]) => Promise<unknown>;

/** The same port, with each of these calls a part of what is under way: `custody.sign`. The port itself where nobody collects traces. */
export function traced<T extends object>(tracing: Tracing, name: string, port: T, methods: readonly (keyof T & string)[]): T {
  if (tracing === noTracing) return port;
  const calls = methods.map((method) => {
    const work = port[method] as Work;
    const part = `${name}.${method}`;
    return [method, (...args: readonly unknown[]) => tracing.part(part, () => work(...args))] as const;
  });
  return { ...port, ...Object.fromEntries(calls) };
}
