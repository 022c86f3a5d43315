import type { TestService } from './service.ts';
import { eventually } from './poll.ts';
import { call } from './service.ts';

/** The log with everything in it that happened until now: lines are written in blocks. */
export async function logUntilNow(service: TestService): Promise<string> {
  const id = (await call(service, 'GET', '/no-such-call')).headers.get('x-request-id') ?? 'none';
  await eventually('the log is written up to now', 3000, () => service.log().includes(id));
  return service.log();
}
