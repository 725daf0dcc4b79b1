/**
 * The way in over a WebSocket: the Neon driver. Its faster ways are off: they only work where the server asks for a password
 * in clear, or copy what is sent again and again. Its SCRAM is replaced by pg's, which prepares passwords as PostgreSQL
 * does (RFC 4013), hashes in one call instead of 4096, and reports a failure instead of letting it escape.
 */
import { Client } from '@neondatabase/serverless';
import sasl from 'pg/lib/crypto/sasl.js';
import type { ConnectionParts } from '../config/connection_string.ts';
import type { DriverClient } from './internals.ts';

/**
 * @param parts where to; sslmode has no meaning here: `wss` encrypts
 * @param options the startup parameter of that name
 * @param proxy `host:port/path` of a proxy that takes `?address=host:port`; without one the host itself is asked, as Neon's do
 * @param insecure `ws` instead of `wss`
 */
export function webSocketClient(parts: ConnectionParts, applicationName: string, options: string, proxy: string | undefined, insecure: boolean): DriverClient {
  const { host, port, user, database } = parts;
  const client = new Client({ host, port, user, database, password: () => parts.password ?? '', application_name: applicationName, options });
  const neon = client.neonConfig;
  neon.pipelineConnect = false;
  neon.coalesceWrites = false;
  neon.useSecureWebSocket = !insecure;
  if (proxy !== undefined) neon.wsProxy = proxy;
  const driver = client as unknown as DriverClient;
  replaceScram(driver, parts.password ?? '');
  return driver;
}

interface SaslMessage {
  readonly mechanisms: readonly string[];
  readonly data: string;
}

/** The driver looks its handlers up when it connects, so ours have to be there before. */
function replaceScram(client: DriverClient, password: string): void {
  const { connection } = client;
  let session: sasl.SaslSession;
  const reporting = (step: (message: SaslMessage) => Promise<void> | void) => async (message: SaslMessage) => {
    try {
      await step(message);
    } catch (error) {
      connection.emit('error', error);
    }
  };
  Object.assign(client, {
    _handleAuthSASL: reporting(({ mechanisms }) => {
      session = sasl.startSession(mechanisms, false);
      connection.sendSASLInitialResponseMessage(session.mechanism, session.response);
    }),
    _handleAuthSASLContinue: reporting(async ({ data }) => {
      await sasl.continueSession(session, password, data, false);
      connection.sendSCRAMClientFinalMessage(session.response);
    }),
    _handleAuthSASLFinal: reporting(({ data }) => sasl.finalizeSession(session, data)),
  });
}
