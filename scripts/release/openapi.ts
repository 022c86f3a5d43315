import { startService } from '../../test/harness/service.ts';

/** As a running service gives it. */
export async function currentOpenapi(): Promise<Readonly<Record<string, any>>> {
  const service = await startService();
  try {
    return await (await fetch(`${service.apiUrl}/openapi.json`)).json() as Readonly<Record<string, any>>;
  } finally {
    await service.stop();
  }
}
