/**
 * What can stand at an address where a PostgreSQL of one's own was expected: a transaction pooler before a real one, and a server that
 * says of itself whatever a test wants. Only as much of the protocol (PostgreSQL manual, chapter 55) as the drive meets.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import pg from 'pg';

export interface Impostor {
  /** Its address, with the credentials of the server behind it. */
  readonly url: string;
  /** The first words of every statement that reached it. */
  readonly statements: readonly string[];
  stop(): Promise<void>;
}

export interface PoolerOptions {
  /** Whether the settings of the start-up message reach the backends. */
  readonly passesSettings: boolean;
  /** How many backends take turns. */
  readonly backends: number;
  /** After how many transactions it is the next one's turn; after each without it. */
  readonly turn?: number;
}

/** Starts a pooler in transaction mode: from one transaction to the next the client may come to the next backend. */
export async function startPooler(url: string, { passesSettings, backends, turn: transactions = 1 }: PoolerOptions): Promise<Impostor> {
  const statements: string[] = [];
  const pools = new Set<pg.Client>();
  const serve = async (client: Socket): Promise<void> => {
    const incoming = messagesOf(client, false);
    const startup = startupOf((await incoming.next()).value);
    const options = passesSettings && startup.options !== undefined ? { options: startup.options } : {};
    const pool: { socket: Socket; answers: AsyncGenerator<Message> }[] = [];
    for (let n = 0; n < backends; n++) {
      const backend = new pg.Client({ connectionString: url, application_name: 'pooler', ...options });
      backend.on('error', () => undefined);
      await backend.connect();
      pools.add(backend);
      const socket = (backend as unknown as { connection: { stream: Socket } }).connection.stream;
      socket.removeAllListeners('data');
      pool.push({ socket, answers: messagesOf(socket, true) });
    }
    client.write(Buffer.concat([GREETING, READY]));
    for (let turn = 0; ; turn++) {
      const at = pool[Math.floor(turn / transactions) % pool.length];
      if (at === undefined) return;
      let isOver = false;
      // One transaction: whole messages up to a Sync or Query, then the answer up to ReadyForQuery outside of a transaction.
      while (!isOver) {
        const { value, done } = await incoming.next();
        if (done || value.type === 'X') return;
        if (value.type === 'P' || value.type === 'Q') statements.push(value.body.toString('utf8').replaceAll('\0', ' ').trim());
        at.socket.write(value.bytes);
        if (value.type !== 'S' && value.type !== 'Q') continue;
        let answer: Message;
        do {
          answer = (await at.answers.next()).value;
          client.write(answer.bytes);
        } while (answer.type !== 'Z' && answer.type !== 'X');
        isOver = answer.body.toString() === 'I';
      }
    }
  };
  const door = await listen((client) => void serve(client).catch(() => client.destroy()));
  return {
    url: withPort(url, door.port),
    statements,
    stop: async () => {
      await door.stop();
      for (const backend of pools) (backend as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
    },
  };
}

/**
 * Starts a server that answers the question of what it is with these values, and every other statement with an error.
 * @param url whose credentials its address shall have
 * @param says values by the names of columns; what is not given is as on a healthy PostgreSQL 18
 */
export async function startServerThatSays(url: string, says: Readonly<Record<string, string>>): Promise<Impostor> {
  const statements: string[] = [];
  const row: Record<string, string> = {
    version_number: '180004',
    version: '18.4',
    backend: '4711',
    is_standby: 'f',
    is_read_only: 'off',
    statement_timeout: '0',
    client_min_messages: 'error',
    track_activities: 'on',
    ...says,
  };
  const serve = async (client: Socket): Promise<void> => {
    const incoming = messagesOf(client, false);
    await incoming.next();
    client.write(Buffer.concat([GREETING, READY]));
    let isAsked = false;
    for await (const { type, body } of incoming) {
      if (type === 'P') {
        const text = body.toString('utf8').replaceAll('\0', ' ').trim();
        statements.push(text);
        isAsked = text.includes('as version_number');
      }
      if (type === 'E') {
        const isBegin = statements.at(-1)?.startsWith('begin') === true;
        if (isBegin) client.write(message('C', Buffer.from('BEGIN\0')));
        else client.write(isAsked ? answerRow(row) : message('E', Buffer.from('SERROR\0VERROR\0C3F000\0Mschema "weft" does not exist\0\0')));
      }
      if (type === 'S') client.write(READY);
      if (type === 'X') client.end();
    }
  };
  const door = await listen((client) => void serve(client).catch(() => client.destroy()));
  return { url: withPort(url, door.port), statements, stop: door.stop };
}

interface Message {
  readonly type: string;
  readonly body: Buffer;
  /** All of it. */
  readonly bytes: Buffer;
}

function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

/** AuthenticationOk, and a backend key. */
const GREETING = Buffer.concat([message('R', Buffer.from([0, 0, 0, 0])), message('K', Buffer.from([0, 0, 0, 1, 0, 0, 0, 2]))]);
const READY = message('Z', Buffer.from('I'));

function answerRow(row: Readonly<Record<string, string>>): Buffer {
  const int16 = (value: number) => Buffer.from([value >> 8, value & 255]);
  const count = int16(Object.keys(row).length);
  // name, no table, no column, type text (25), any length, no modifier, in text
  const columns = Object.keys(row).map((name) => Buffer.concat([Buffer.from(`${name}\0`), Buffer.from('00000000000000000019ffffffffffff0000', 'hex')]));
  const values = Object.values(row).map((value) => Buffer.concat([Buffer.from([0, 0, 0, value.length]), Buffer.from(value)]));
  return Buffer.concat([
    message('1', Buffer.alloc(0)),
    message('2', Buffer.alloc(0)),
    message('T', Buffer.concat([count, ...columns])),
    message('D', Buffer.concat([count, ...values])),
    message('C', Buffer.from('SELECT 1\0')),
  ]);
}

/** The messages that come in on a socket. @param isTyped false when the first one, of start-up, has no type */
async function* messagesOf(socket: Socket, isTyped: boolean): AsyncGenerator<Message, Message> {
  let held = Buffer.alloc(0);
  let headBytes = isTyped ? 5 : 4;
  for await (const bytes of socket.iterator({ destroyOnReturn: false })) {
    held = Buffer.concat([held, bytes as Buffer]);
    for (;;) {
      if (held.length < headBytes) break;
      const length = held.readInt32BE(headBytes - 4) + headBytes - 4;
      if (held.length < length) break;
      const whole = held.subarray(0, length);
      held = held.subarray(length);
      const type = headBytes === 4 ? '' : whole.toString('latin1', 0, 1);
      const body = whole.subarray(headBytes);
      headBytes = 5;
      yield { type, body, bytes: whole };
    }
  }
  return { type: 'X', body: Buffer.alloc(0), bytes: Buffer.alloc(0) };
}

function startupOf({ body }: Message): Record<string, string> {
  const words = body.subarray(4).toString('utf8').split('\0');
  const startup: Record<string, string> = {};
  for (let n = 0; n + 1 < words.length && words[n] !== ''; n += 2) startup[words[n] ?? ''] = words[n + 1] ?? '';
  return startup;
}

async function listen(welcome: (client: Socket) => void): Promise<{ port: number; stop: () => Promise<void> }> {
  const clients = new Set<Socket>();
  const server = createServer((client) => {
    clients.add(client);
    client.on('error', () => undefined);
    client.on('close', () => clients.delete(client));
    welcome(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const client of clients) client.destroy();
      await closed;
    },
  };
}

function withPort(url: string, port: number): string {
  const changed = new URL(url);
  changed.hostname = '127.0.0.1';
  changed.port = String(port);
  return changed.href;
}
