/** A port in front of a Worker whose connections can be cut. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface Cutter {
  readonly origin: string;
  /** Where connections go to; null: they are cut as soon as they come. */
  port: number | null;
  /** How many connections were made. */
  connections: number;
  /** Asked for what goes to the Worker; true cuts the connection before it passes. */
  cutWhen: (bytes: Buffer) => boolean;
  /** The same for what comes back. */
  cutAnswerWhen: (bytes: Buffer) => boolean;
  cutAll(): void;
  stop(): Promise<void>;
}

export async function startCutter(): Promise<Cutter> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    return socket.on('close', () => sockets.delete(socket)).on('error', () => undefined);
  };
  const server = createServer((client) => {
    proxy.connections += 1;
    keep(client);
    if (proxy.port === null) {
      client.resetAndDestroy();
      return;
    }
    const worker = keep(connect(proxy.port, '127.0.0.1'));
    client.on('data', (bytes: Buffer) => {
      if (proxy.cutWhen(bytes)) {
        client.resetAndDestroy();
        worker.destroy();
      } else {
        worker.write(bytes);
      }
    });
    worker.on('data', (bytes: Buffer) => {
      if (proxy.cutAnswerWhen(bytes)) {
        client.resetAndDestroy();
        worker.destroy();
      } else {
        client.write(bytes);
      }
    });
    worker.on('close', () => client.destroy());
    client.on('close', () => worker.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy: Cutter = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    port: null,
    connections: 0,
    cutWhen: () => false,
    cutAnswerWhen: () => false,
    cutAll: () => {
      for (const socket of sockets) socket.destroy();
    },
    stop: async () => {
      proxy.cutAll();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}
