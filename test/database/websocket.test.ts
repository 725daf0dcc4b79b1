/** The way in over a WebSocket beside Neon's own driver: what Neon's servers understand is what that one says. */
import { Client as NeonClient } from '@neondatabase/serverless';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { parseConnectionString } from '../../src/config/connection_string.ts';
import { startupOptions } from '../../src/database/startup.ts';
import { webSocketClient } from '../../src/database/websocket.ts';

/** AuthenticationCleartextPassword, as Neon asks behind its WebSockets. */
const password_please = Uint8Array.of(0x52, 0, 0, 0, 8, 0, 0, 0, 3);

/** A WebSocket that leads nowhere: notes where it was to lead and the first two messages, and answers the first. */
class Recorder extends EventTarget {
  static asked: (said: { address: string; messages: string[] }) => void = () => {};
  binaryType = 'blob';
  readonly #address: string;
  readonly #messages: string[] = [];

  constructor(address: string) {
    super();
    this.#address = address;
    queueMicrotask(() => this.dispatchEvent(new Event('open')));
  }

  send(bytes: Uint8Array): void {
    this.#messages.push(Buffer.from(bytes).toString('latin1'));
    if (this.#messages.length === 2) Recorder.asked({ address: this.#address, messages: this.#messages });
    else if (this.binaryType === 'arraybuffer') queueMicrotask(() => this.dispatchEvent(new MessageEvent('message', { data: password_please.slice().buffer })));
  }

  close(): void {}
}

beforeEach(() => void vi.stubGlobal('WebSocket', Recorder));
afterEach(() => void vi.unstubAllGlobals());

/** Connects, and gives what was said up to the password. */
async function saidBy(connect: () => Promise<unknown>): Promise<{ address: string; messages: string[] }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ address: string; messages: string[] }>();
  Recorder.asked = resolve;
  connect().catch(reject);
  return await promise;
}

describe('opens the address, and says up to the password, what the driver of Neon does', () => {
  test.each([
    ['straight to the host', undefined, false],
    ['through a proxy', 'proxy.example:8443/v1', false],
    ['through a proxy of this machine, in clear', '127.0.0.1:4444/v1', true],
  ])('%s', async (_, proxy, insecure) => {
    const parts = parseConnectionString('postgresql://owner:p%C3%A4ss@ep-cool-darkness-123456.eu-central-1.aws.neon.tech:5433/shop?sslmode=require');
    const { host, port, user, database, password } = parts;
    const neons = await saidBy(() => {
      const client = new NeonClient({ host, port, user, database, password: password ?? '', application_name: 'weft', options: startupOptions() });
      // For a server that asks for the password otherwise, and for large messages.
      client.neonConfig.pipelineConnect = false;
      client.neonConfig.coalesceWrites = false;
      client.neonConfig.useSecureWebSocket = !insecure;
      if (proxy !== undefined) client.neonConfig.wsProxy = proxy;
      return client.connect();
    });
    expect(neons.messages[1]).toContain(Buffer.from('päss').toString('latin1'));
    expect(await saidBy(() => webSocketClient(parts, 'weft', proxy, insecure).connect())).toEqual(neons);
  });
});
