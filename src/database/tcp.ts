/**
 * The way in over TCP: node-postgres. In Node it opens a socket; in workerd it finds `cloudflare:sockets` by itself.
 */
import Client from 'pg/lib/client.js';
import type { ConnectionParts, SslMode } from '../config/connection_string.ts';
import type { DriverClient } from './internals.ts';

/** Before a router forgets a connection on which nothing moves: a run may be silent for hours. */
const keep_alive_milliseconds = 30_000;

/** @param parts where to; for sslmode see `tlsOf` @param options the startup parameter of that name */
export function tcpClient(parts: ConnectionParts, applicationName: string, options: string): DriverClient {
  const { host, port, user, database, sslmode } = parts;
  return new Client({
    host,
    port,
    user,
    database,
    password: () => parts.password ?? '',
    ssl: tlsOf(sslmode),
    sslnegotiation: 'postgres', // or the environment would have a say in it
    application_name: applicationName,
    options,
    keepAlive: true,
    keepAliveInitialDelayMillis: keep_alive_milliseconds,
  }) as unknown as DriverClient;
}

/**
 * As node-postgres 8 reads sslmode: absent, `disable` and `allow` mean no TLS; everything else means TLS with a certificate that is
 * verified, name included, and no falling back. (libpq is more lenient with `prefer` and `require`; that would encrypt to
 * whoever answers.)
 */
function tlsOf(sslmode: SslMode | null): boolean {
  return sslmode !== null && sslmode !== 'disable' && sslmode !== 'allow';
}
