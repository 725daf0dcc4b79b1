/**
 * PostgreSQL in a container, by testcontainers and whatever engine that finds; loaded only when a container is asked for. The image
 * behaves as Docker's official one: it takes POSTGRES_PASSWORD, POSTGRES_HOST_AUTH_METHOD and POSTGRES_INITDB_ARGS, runs the command
 * `postgres -c …`, and writes the server's log to its output.
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers';
import { freePort } from '../../src/dev/ports.ts';
import type { Server, ServerOptions } from './server.ts';

/** How long a start may take once the image is there: initdb, or crash recovery. */
const START_MS_MAX = 120_000;

/** Starts one; it and its data go with `stop()`, or with testcontainers' reaper when we are killed. */
export async function startContainer(image: string, { settings, authMethod = 'scram-sha-256' }: ServerOptions): Promise<Server> {
  const password = randomBytes(18).toString('base64url');
  // A port that stays the same when it is killed and started again.
  const port = await freePort();
  const words = Object.entries({ fsync: 'off', full_page_writes: 'off', ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const started = await new GenericContainer(image)
    .withEnvironment({ POSTGRES_PASSWORD: password, POSTGRES_HOST_AUTH_METHOD: authMethod, POSTGRES_INITDB_ARGS: '--encoding=UTF8 --locale=C' })
    .withCommand(['postgres', ...words])
    .withExposedPorts({ container: 5432, host: port })
    .withSharedMemorySize(256 * 1024 * 1024)
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/).withStartupTimeout(START_MS_MAX))
    .start();
  const { container: runtime } = await getContainerRuntimeClient();
  const container = runtime.getById(started.getId());
  // Tests look for this host in what is said of it, and "localhost" could be two addresses.
  const host = started.getHost().replace(/^localhost$/, '127.0.0.1');
  const url = `postgresql://postgres:${password}@${host}:${port}/postgres`;
  const stop = async (): Promise<void> => {
    await container.remove({ force: true, v: true });
  };
  try {
    // What was ready may have been the server that the image runs while it prepares itself.
    await untilItAnswers(url);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url,
    port,
    stop,
    kill9: async () => {
      await container.kill({ signal: 'SIGKILL' });
      await container.wait();
    },
    restart: async () => {
      // Goes through when it runs no more, too.
      await container.restart({ t: 20 });
      await untilItAnswers(url);
    },
  };
}

async function untilItAnswers(url: string): Promise<void> {
  const endAt = Date.now() + START_MS_MAX;
  for (;;) {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return;
    } catch (error) {
      if (Date.now() > endAt) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}
