import type { Tracing } from '../../ports/tracing.ts';

/** Nobody collects traces: what would be traced is run, and no more. */
export const noTracing: Tracing = {
  operation: (_op, _caller, work) => work(),
  part: (_name, work) => work(),
  note: () => undefined,
  headers: () => NO_HEADERS,
  close: async () => undefined,
};

const NO_HEADERS = {};
