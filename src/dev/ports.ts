/** Free TCP ports on 127.0.0.1. Somebody else may take one before it is used: whoever starts a server tries again. */
import { createServer } from 'node:net';

/**
 * A port that is free now.
 * @param preferred taken when it is free
 */
export async function freePort(preferred?: number): Promise<number> {
  return (preferred === undefined ? null : await probe(preferred)) ?? (await probe(0)) ?? Promise.reject(new Error('no free port on 127.0.0.1'));
}

function probe(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : null));
    });
  });
}
