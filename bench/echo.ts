/** What an answer costs with nothing behind it: fastify as it comes, which parses the body and sends it back. */
import Fastify from 'fastify';
import { serveJobs } from './worker.ts';

serveJobs(async (): Promise<number> => {
  const app = Fastify();
  app.post('/echo', (request, reply) => reply.send(request.body));
  await app.listen({ host: '127.0.0.1', port: 0 });
  const address = app.server.address();
  if (address === null || typeof address === 'string') throw new Error('bound to no port');
  return address.port;
});
