import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import type { Session } from '../../src/database/session.ts';
import { freePort } from '../../src/dev/ports.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { type Server as Postgres, startServer } from '../support/server.ts';
import { chooseSource, offers } from '../support/source.ts';
import { problemOf, through, until, ways } from './ways.ts';

const host = '127.0.0.1';

let server: Postgres;
let relay: Relay;
/** Asks for passwords in clear. */
let clear: Postgres;
let clearRelay: Relay;
let witness: Session;

beforeAll(async () => {
  [server, clear] = await Promise.all([startServer(chooseSource()), startServer(chooseSource(), { authMethod: 'password' })]);
  relay = await startRelay({ to: { host, port: server.port } });
  clearRelay = await startRelay({ to: { host, port: clear.port } });
  witness = await connectTo({ connectionString: server.url, transport: 'tcp' })();
  await witness.query(`create role narrow login password 'kept-to-oneself' connection limit 1`);
});

afterAll(async () => {
  await witness?.close();
  await relay?.stop();
  await clearRelay?.stop();
  await server?.stop();
  await clear?.stop();
});

afterEach(() => {
  vi.unstubAllEnvs();
  relay.forget();
});

/** The server's address with parts changed. */
function address(change: (url: URL) => void): string {
  const url = new URL(server.url);
  change(url);
  return url.href;
}

const narrow = () =>
  address((url) => {
    url.username = 'narrow';
    url.password = 'kept-to-oneself';
  });

const at = (port: number) =>
  address((url) => {
    url.port = String(port);
  });

/** A server that answers the first message of each connection with an error and hangs up. */
async function refusingServer(sqlstate: string, message: string): Promise<Server> {
  const refusing = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      const fields = Buffer.from(`SFATAL\0VFATAL\0C${sqlstate}\0M${message}\0\0`);
      const head = Buffer.from('E0000');
      head.writeInt32BE(fields.length + 4, 1);
      socket.end(Buffer.concat([head, fields]));
    });
  });
  await new Promise<void>((resolve) => refusing.listen(0, host, resolve));
  return refusing;
}

const portOf = (listening: Server): number => (listening.address() as { port: number }).port;

describe.runIf(offers('servers to kill')).each(ways)('connecting over %s', (way) => {
  test.each(['scram-sha-256', 'password'] as const)('proves a password by %s, and asks for one', async (method) => {
    const [asked, door] = method === 'password' ? [clear, clearRelay] : [server, relay];
    const session = await connectTo(through(door, way, asked.url))();
    expect(await session.query('select current_user')).toEqual([{ current_user: 'postgres' }]);
    await session.close();
    const wrong = asked.url.replace(/:[^:@]*@/, ':not-the-password@');
    await problemOf(connectTo(through(door, way, wrong))(), 'database_authentication', ['not-the-password']);
    const none = asked.url.replace(/:[^:@]*@/, '@');
    await problemOf(connectTo(through(door, way, none))(), 'database_authentication');
  });

  test('prepares a password as the server does (RFC 4013)', async () => {
    await witness.query(`create role plain_${way} login password 'soft\u00adhyphen\u00a0Ⅸ'`);
    const session = await connectTo(
      through(
        relay,
        way,
        address((url) => {
          url.username = `plain_${way}`;
          url.password = 'softhyphen IX';
        }),
      ),
    )();
    await session.close();
  });

  test.each(['direct', 'neither'])('does not ask the environment how TLS begins (PGSSLNEGOTIATION=%s)', async (how) => {
    vi.stubEnv('PGSSLNEGOTIATION', how);
    await (await connectTo(through(relay, way, server.url))()).close();
  });

  describe('gives up at once', () => {
    test('on a wrong password, and names the role and neither password nor host', async () => {
      const options = through(
        relay,
        way,
        address((url) => {
          url.password = 'not-the-password';
        }),
      );
      const problem = await problemOf(connectTo(options)(), 'database_authentication', ['not-the-password', new URL(server.url).password]);
      expect(problem.message).toContain('password authentication failed for user "postgres" (28P01)');
      expect(problem.facts).toEqual({ sqlstate: '28P01', attempts: 1 });
    });

    test('on a database that does not exist', async () => {
      const options = through(
        relay,
        way,
        address((url) => {
          url.pathname = '/nowhere';
        }),
      );
      const problem = await problemOf(connectTo(options)(), 'database_missing');
      expect(problem.facts).toEqual({ sqlstate: '3D000', attempts: 1 });
      expect(problem.message).toMatch(/database "nowhere" does not exist .* Correct the database name/);
    });

    test('on a role that may not connect to the database', async () => {
      const closed = `closed_${way}`;
      await witness.query(`create database ${closed}`);
      await witness.query(`revoke connect on database ${closed} from public`);
      const options = through(relay, way, narrow().replace(/\/postgres$/, `/${closed}`));
      expect((await problemOf(connectTo(options)(), 'role_without_rights', ['kept-to-oneself'])).facts).toMatchObject({ attempts: 1 });
    });

    test.each([
      ['transaction_pooler', '08P01', 'unsupported startup parameter in options: statement_timeout'],
      ['server_too_old', '42704', 'unrecognized configuration parameter "client_connection_check_interval"'],
    ])('on what says %s', async (slug, sqlstate, message) => {
      const refusing = await refusingServer(sqlstate, `${message} at ${host}`);
      const way_in = await startRelay({ to: { host, port: portOf(refusing) } });
      const problem = await problemOf(connectTo(through(way_in, way, at(portOf(refusing))))(), slug);
      expect(problem.message).toContain(message);
      expect(problem.facts).toEqual({ sqlstate, attempts: 1 });
      await way_in.stop();
      refusing.close();
    });
  });

  describe('tries again', () => {
    test('while all connections are taken, and gets in when one is free', async () => {
      const first = await connectTo(through(relay, way, narrow()))();
      onTestFinished(() => first.close());
      const second = connectTo(through(relay, way, narrow()))();
      await until(() => relay.connections.filter((connection) => connection.way === way && !connection.open).length >= 1);
      await first.close();
      await (await second).close();
    });

    test('while all connections are taken, until the deadline', async () => {
      const first = await connectTo(through(relay, way, narrow()))();
      onTestFinished(() => first.close());
      const problem = await problemOf(connectTo(through(relay, way, narrow(), { deadlineMs: 4000 }))(), 'no_free_connection', ['kept-to-oneself']);
      expect(problem.facts).toEqual({ sqlstate: '53300', attempts: expect.any(Number) });
      expect(problem.facts.attempts).toBeGreaterThan(1);
    });

    test('while the server is not there yet', async () => {
      const sleeper = await startServer(chooseSource());
      const way_in = await startRelay({ to: { host, port: sleeper.port } });
      try {
        await sleeper.kill9();
        const session = connectTo(through(way_in, way, sleeper.url, { deadlineMs: 30_000 }))();
        await until(() => way_in.connections.length >= 2);
        await sleeper.restart();
        expect(await (await session).query('select 1 as one')).toEqual([{ one: '1' }]);
        await (await session).close();
      } finally {
        await way_in.stop();
        await sleeper.stop();
      }
    });

    test.each(['57P03', '57P01', 'XX000'])('when the server says %s', async (sqlstate) => {
      const refusing = await refusingServer(sqlstate, 'the database system is starting up');
      const way_in = await startRelay({ to: { host, port: portOf(refusing) } });
      const problem = await problemOf(connectTo(through(way_in, way, at(portOf(refusing)), { deadlineMs: 1500 }))(), 'database_unreachable');
      expect(problem.facts).toEqual({ sqlstate, attempts: expect.any(Number) });
      expect(problem.facts.attempts).toBeGreaterThan(1);
      await way_in.stop();
      refusing.close();
    });

    test('where nobody listens, until the deadline', async () => {
      const port = await freePort();
      const problem = await problemOf(
        connectTo({ connectionString: at(port), transport: way, proxy: `${host}:${port}/v1`, insecure: true, deadlineMs: 1500 })(),
        'database_unreachable',
      );
      expect(problem.facts.attempts).toBeGreaterThan(1);
      expect(problem.message).toContain(way === 'tcp' ? 'refused (ECONNREFUSED)' : 'the WebSocket did not open');
      expect(problem.message).not.toContain(String(port));
    });

    test('where nobody answers, until the deadline', async () => {
      relay.silence();
      const problem = await problemOf(connectTo(through(relay, way, server.url, { deadlineMs: 300 }))(), 'database_unreachable');
      expect(problem.message).toContain('nobody answered');
      relay.endSilence();
    });
  });

  test('refuses a connection string that cannot be used before anything is opened', () => {
    expect(() => connectTo({ connectionString: 'mysql://user:pass-word@db.example/shop', transport: way })).toThrow(
      expect.objectContaining({ slug: 'connection_string_invalid' }),
    );
  });
});

describe.runIf(offers('servers to kill'))('TLS over TCP', () => {
  const required = (port: number) =>
    address((url) => {
      url.port = String(port);
      url.searchParams.set('sslmode', 'require');
    });

  test('is not done without when it is asked for', async () => {
    const problem = await problemOf(connectTo({ connectionString: required(server.port), transport: 'tcp' })(), 'connection_string_invalid');
    expect(problem.message).toContain('the server offers no TLS');
  });

  test('does not accept a certificate that nobody vouches for', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weft-tls-'));
    const [key, certificate] = [join(folder, 'key'), join(folder, 'certificate')];
    spawnSync('openssl', [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      key,
      '-out',
      certificate,
      '-days',
      '2',
      '-subj',
      '/CN=db.secret-host.example',
    ]);
    const options = { isServer: true, key: readFileSync(key), cert: readFileSync(certificate) };
    rmSync(folder, { recursive: true });
    const impostor = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => {
        socket.write('S');
        new TLSSocket(socket, options).on('error', () => {});
      });
    });
    await new Promise<void>((resolve) => impostor.listen(0, host, resolve));
    const problem = await problemOf(connectTo({ connectionString: required(portOf(impostor)), transport: 'tcp' })(), 'connection_string_invalid', [
      'secret-host',
    ]);
    expect(problem.facts).toEqual({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT', attempts: 1 });
    impostor.close();
  });
});
