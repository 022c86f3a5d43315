export interface Clock {
  /** UTC wall clock, milliseconds since the epoch: for stamps. */
  wallMs(): number;
  /** Never goes back, nanoseconds from an arbitrary start: for order and durations. */
  monotonicNs(): bigint;
}
