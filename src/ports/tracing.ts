/** Shows how a call went through the services that it needed (W3C Trace Context). Does nothing where nobody collects traces. */
export interface Tracing {
  /** Runs a client's operation: a span of the trace that its caller says it is in, else the first of a new one. */
  operation<T>(op: string, caller: TracedCaller, work: () => Promise<T>): Promise<T>;
  /** Runs a part of what is under way. */
  part<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Says of what is under way what the log says of it. */
  note(fields: Readonly<Record<string, string | number | undefined>>): void;
  /** What a question to another service says, to stand in the same trace. */
  headers(): Readonly<Record<string, string>>;
  /** Hands over what was not yet; gives up after a moment. */
  close(): Promise<void>;
}

interface TracedCaller {
  /** As the request has it; undefined when it has none. */
  readonly traceParent: string | undefined;
}
