import { createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { type Message, type Reply, type Session, SqlError } from '../../src/database/session.ts';
import type { WireSession } from '../../src/database/wire_session.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { open, problemOf, short, simple, statement, sync, through, until, ways } from './ways.ts';

const mebibyte = 1024 * 1024;

let database: TestDatabase;
let relay: Relay;
/** Straight to the server, for looking from outside. */
let witness: Session;

beforeAll(async () => {
  database = await emptyDatabase();
  const { hostname, port } = new URL(database.url);
  relay = await startRelay({ to: { host: hostname, port: Number(port || 5432) } });
  witness = await connectTo({ connectionString: database.url, transport: 'tcp' })();
  await witness.query('create table seen (what text, deferred int unique deferrable initially deferred)');
  await witness.query(
    `create procedure remember_twice(what text, inout transactions int) language plpgsql as $$
     declare first xid8;
     begin
       insert into seen (what) values (what || ' 1'); first := pg_current_xact_id(); commit;
       insert into seen (what) values (what || ' 2'); transactions := 1 + (first <> pg_current_xact_id())::int; commit;
     end $$`,
  );
  await witness.query(
    `create procedure work_for_long() language plpgsql as $$
     begin for n in 1..20 loop perform pg_sleep(0.02); commit; end loop; insert into seen (what) values ('worked'); commit; end $$`,
  );
});

afterAll(async () => {
  await witness?.close();
  await relay?.stop();
  await database?.drop();
});

const seen = async (): Promise<(string | null)[]> => (await witness.query('select what from seen order by what')).map((row) => row.what ?? null);

describe.each(ways)('a session over %s', (way) => {
  let session: WireSession;
  const opened: WireSession[] = [];
  const another = async (): Promise<WireSession> => {
    const next = await open(relay, way, database.url);
    opened.push(next);
    return next;
  };
  const connection = () => relay.connections.at(-1) ?? expect.fail('no connection');

  afterEach(async () => {
    relay.endSilence();
    for (const one of opened.splice(0)) await one.close();
    relay.forget();
    await witness.query('truncate seen');
  });

  describe('gives rows', () => {
    test('in the text form of the server, NULL as null, and takes bytes as they are', async () => {
      session = await another();
      const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
      const rows = await session.query(
        `select $1::int + 1 as n, $2::bytea as b, $3::text as nothing, '' as empty, $4::text as word, 1.50::numeric as price, true as yes`,
        ['41', bytes, null, 'über 🧵'],
      );
      expect(rows).toEqual([{ n: '42', b: `\\x${Buffer.from(bytes).toString('hex')}`, nothing: null, empty: '', word: 'über 🧵', price: '1.50', yes: 't' }]);
    });

    test('for a statement without columns none, and for an empty statement none', async () => {
      session = await another();
      expect(await session.query(`insert into seen (what) values ('a')`)).toEqual([]);
      expect(await session.query('')).toEqual([]);
    });

    test('of a value larger than any frame', async () => {
      session = await another();
      const text = 'äöü7'.repeat(mebibyte);
      const bytes = new Uint8Array(5 * mebibyte + 3).fill(200);
      const rows = await session.query('select md5($1::text) as t, md5($2::bytea) as b, length($3::bytea) as none, $1::text as back', [
        text,
        bytes,
        new Uint8Array(0),
      ]);
      const [wanted] = await witness.query(`select md5(repeat('äöü7', ${mebibyte})) as t, md5(decode(repeat('c8', ${bytes.length}), 'hex')) as b, 0 as none`);
      expect(rows[0]?.back).toBe(text);
      expect({ ...rows[0], back: undefined }).toEqual({ ...wanted, back: undefined });
    });

    test('of the last result of a simple query with several', async () => {
      session = await another();
      expect(short(await session.pipeline([simple(`select 1 as a; select 2 as b, 3 as c; set work_mem = '5MB'`)]))).toEqual([[{ b: '2', c: '3' }]]);
    });
  });

  describe('starts', () => {
    test('with everything a long run needs, whatever the database says otherwise', async () => {
      await witness.query(`alter database ${database.name} set statement_timeout = 1234`);
      await witness.query(`alter database ${database.name} set client_min_messages = debug1`);
      try {
        session = await another();
        await session.query('set statement_timeout = 77');
        await session.query('reset all');
        const rows = await session.query(
          `select name, setting from pg_catalog.pg_settings where source = 'client' and name <> 'DateStyle' order by name collate "C"`,
        );
        expect(Object.fromEntries(rows.map((row) => [row.name, row.setting]))).toEqual({
          IntervalStyle: 'postgres',
          TimeZone: 'UTC',
          application_name: 'weft',
          client_connection_check_interval: '0',
          client_encoding: 'UTF8',
          client_min_messages: 'error',
          default_transaction_isolation: 'read committed',
          exit_on_error: 'off',
          extra_float_digits: '1',
          idle_in_transaction_session_timeout: '0',
          idle_session_timeout: '0',
          lock_timeout: '0',
          standard_conforming_strings: 'on',
          statement_timeout: '0',
          // what the kernel has for this very connection, not what was asked for
          tcp_keepalives_count: '6',
          tcp_keepalives_idle: '30',
          tcp_keepalives_interval: '10',
          tcp_user_timeout: '90000',
        });
        expect(await session.query('show datestyle')).toEqual([{ DateStyle: expect.stringMatching(/^ISO, /) }]);
      } finally {
        await witness.query(`alter database ${database.name} reset all`);
      }
    });

    test('with the pid that the server announced', async () => {
      session = await another();
      expect(await session.query('select pg_backend_pid()::text as pid')).toEqual([{ pid: String(session.announcedPid) }]);
    });
  });

  describe('an error of the server', () => {
    test('is a SqlError with state, message, detail and hint, and the session goes on', async () => {
      session = await another();
      const error: unknown = await session
        .query(`do $$ begin raise exception 'no' using errcode = 'WF001', detail = 'the detail', hint = 'the hint'; end $$`)
        .catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(SqlError);
      expect(error).toMatchObject({ sqlstate: 'WF001', message: 'no', detail: 'the detail', hint: 'the hint' });
      expect(await session.query('select 1 as one')).toEqual([{ one: '1' }]);
    });

    test('skips the rest of its transaction, rolls it back, and ends at the next sync', async () => {
      session = await another();
      const replies = await session.pipeline([
        statement(`insert into seen (what) values ('before')`),
        sync,
        statement(`insert into seen (what) values ('lost')`),
        statement('select 1 / $1::int', '0'),
        statement(`insert into seen (what) values ('never')`),
        sync,
        statement(`insert into seen (what) values ('after')`),
      ]);
      expect(short(replies)).toEqual([[], [], '22012', 'skipped', []]);
      expect(await seen()).toEqual(['after', 'before']);
    });

    test('that comes while more is being read than the window holds lets the reading go on', async () => {
      session = await another();
      const part = new Uint8Array(mebibyte);
      async function* messages(): AsyncGenerator<Message> {
        yield statement('select 1 / 0');
        for (let count = 0; count < 3 * (LIMITS.staging_window_bytes / mebibyte); count++) yield statement('select length($1::bytea)', part);
        yield sync;
        yield statement('select 2 as two');
      }
      const replies = await session.pipeline(messages());
      expect(short([...replies.slice(0, 2), ...replies.slice(-1)])).toEqual(['22012', 'skipped', [{ two: '2' }]]);
      expect(session.largestUnderWayBytes).toBeLessThan(LIMITS.staging_window_bytes + 2 * mebibyte);
    });

    test('at the commit is the error of the last statement', async () => {
      session = await another();
      const twice = [statement('insert into seen (deferred) values (1)'), statement('insert into seen (deferred) values (1)')];
      expect(short(await session.pipeline([...twice, sync, statement('select 1 as one')]))).toEqual([[], '23505', [{ one: '1' }]]);
      await expect(session.query('insert into seen (deferred) values (2), (2)')).rejects.toMatchObject({ sqlstate: '23505' });
      expect(await seen()).toEqual([]);
    });

    test('is told, as every reply is, as soon as nothing can change it: at the end of its transaction', async () => {
      session = await another();
      const told: Reply[] = [];
      const toldBefore: number[] = [];
      async function* messages(): AsyncGenerator<Message> {
        yield statement('insert into seen (deferred) values (1)');
        yield statement('insert into seen (deferred) values (1)');
        yield sync;
        yield statement('select 1 / 0');
        yield statement('select 2 as two');
        yield sync;
        await until(() => told.length === 4);
        yield statement('select 3 as three');
        await new Promise((resolve) => setTimeout(resolve, 100));
        toldBefore.push(told.length);
        yield simple('select 4 as four');
        await until(() => told.length === 6);
        yield statement('select 5 as five');
      }
      const replies = await session.pipeline(messages(), (reply) => told.push(reply));
      expect(toldBefore).toEqual([4]);
      expect(short(told)).toEqual([[], '23505', '22012', 'skipped', [{ three: '3' }], [{ four: '4' }], [{ five: '5' }]]);
      expect(told).toEqual(replies);
    });

    test('of a simple query leaves the transactions before and behind it alone', async () => {
      session = await another();
      const replies = await session.pipeline([
        statement(`insert into seen (what) values ('before')`),
        simple('select 1 as a; select 1 / 0'),
        statement(`insert into seen (what) values ('after')`),
      ]);
      expect(short(replies)).toEqual([[], '22012', []]);
      expect(await seen()).toEqual(['after', 'before']);
    });

    test('answers a COPY that waits for rows, either way it is sent', async () => {
      session = await another();
      for (const copy of [simple('copy seen (what) from stdin'), statement('copy seen (what) from stdin')]) {
        expect(short(await session.pipeline([copy]))).toEqual(['57014']);
        expect(await session.query('select 1 as one')).toEqual([{ one: '1' }]);
      }
    });

    test('ends the session rather than hang when a COPY that waits for rows is not the last', async () => {
      for (const copy of [simple('copy seen (what) from stdin'), statement('copy seen (what) from stdin')]) {
        session = await another();
        await problemOf(session.pipeline([copy, sync, statement('select 1')]), 'session_lost');
      }
    });
  });

  describe('a pipeline', () => {
    test('of 200 statements costs one wait', async () => {
      session = await another();
      await session.query('select 1');
      const before = connection().waits;
      const replies = await session.pipeline(Array.from({ length: 200 }, (_, index) => statement('select $1::int as n', String(index))));
      expect(connection().waits - before).toBe(1);
      expect(short(replies)).toEqual(Array.from({ length: 200 }, (_, index) => [{ n: String(index) }]));
    });

    test('of nothing, or of syncs alone, is answered without asking', async () => {
      session = await another();
      const before = connection().toServer.messages;
      expect(await session.pipeline([])).toEqual([]);
      expect(await session.pipeline([sync, sync])).toEqual([]);
      expect(connection().toServer.messages).toBe(before);
    });

    test('carries a CALL that commits, right behind what was staged and in front of more, in one wait', async () => {
      session = await another();
      const before = connection().waits;
      const replies = await session.pipeline([
        statement(`insert into seen (what) values ('staged')`),
        simple(`call remember_twice('run', null)`),
        statement(`insert into seen (what) values ('behind')`),
      ]);
      expect(short(replies)).toEqual([[], [{ transactions: '2' }], []]);
      expect(await seen()).toEqual(['behind', 'run 1', 'run 2', 'staged']);
      expect(connection().waits - before).toBe(1);
    });

    test('waits for another of the same session to end', async () => {
      session = await another();
      const both = await Promise.all([session.pipeline([simple('select pg_sleep(0.05)'), statement('select 1 as n')]), session.query('select 2 as n')]);
      expect([short(both[0]).at(-1), both[1]]).toEqual([[{ n: '1' }], [{ n: '2' }]]);
    });

    test('moves 40 MB in parts of a mebibyte and never has more under way than the window and one part', async () => {
      session = await another();
      await session.query('create temporary table part (number int, bytes bytea)');
      async function* parts(): AsyncGenerator<Message> {
        for (let number = 0; number < 40; number++) {
          yield statement('insert into part values ($1::int, $2)', String(number), new Uint8Array(mebibyte).fill(number));
          if (number % 8 === 7) yield sync;
        }
      }
      expect(await session.pipeline(parts())).toHaveLength(40);
      expect(session.largestUnderWayBytes).toBeLessThan(LIMITS.staging_window_bytes + mebibyte + 1024);
      expect(await session.query('select count(*), sum(length(bytes)) as bytes, bool_and(get_byte(bytes, 7) = number) as right from part')).toEqual([
        { count: '40', bytes: String(40 * mebibyte), right: 't' },
      ]);
    });

    test('takes no more from its source than the window while nothing is acknowledged', async () => {
      session = await another();
      let taken = 0;
      async function* parts(): AsyncGenerator<Message> {
        for (; taken < 30; taken++) yield statement('select length($1::bytea)', new Uint8Array(mebibyte));
      }
      relay.silence();
      const replies = session.pipeline(parts());
      const window = LIMITS.staging_window_bytes / mebibyte;
      await until(() => taken >= window - 1);
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(taken).toBeLessThanOrEqual(window);
      relay.endSilence();
      expect(await replies).toHaveLength(30);
    });

    test('refuses a statement that cannot be written down, and closes the session', async () => {
      session = await another();
      await expect(session.pipeline([statement(`insert into seen (what) values ('half')`), statement('select 1\0')])).rejects.toThrow('NUL');
      await problemOf(session.query('select 1'), 'session_lost');
      expect(await seen()).toEqual([]);
    });
  });

  describe('whose source of messages fails', () => {
    test('rejects with that failure, is closed, and leaves nothing that was not committed', async () => {
      session = await another();
      const pid = session.announcedPid;
      async function* messages(): AsyncGenerator<Message> {
        yield statement(`insert into seen (what) values ('committed')`);
        yield sync;
        yield statement(`insert into seen (what) values ('half')`);
        yield statement('select length($1::bytea)', new Uint8Array(mebibyte));
        await until(async () => (await seen()).includes('committed'));
        throw new RangeError('the upload was cut');
      }
      await expect(session.pipeline(messages())).rejects.toThrow(new RangeError('the upload was cut'));
      await problemOf(session.query('select 1'), 'session_lost');
      await until(async () => (await witness.query('select from pg_stat_activity where pid = $1::int', [String(pid)])).length === 0);
      expect(await seen()).toEqual(['committed']);
    });
  });

  describe('that is lost', () => {
    const password = () => new URL(database.url).password;

    test('because its backend was ended says so, with the last words of the server', async () => {
      session = await another();
      const pid = String(session.announcedPid);
      const lost = problemOf(session.query('select pg_sleep(60)'), 'session_lost', [password()]);
      await until(
        async () =>
          (await witness.query('select pg_terminate_backend(pid) from pg_stat_activity where pid = $1::int and wait_event = $2', [pid, 'PgSleep'])).length > 0,
      );
      const problem = await lost;
      expect(problem.facts).toEqual({ sqlstate: '57P01' });
      expect(problem.message).toContain('terminating connection due to administrator command');
      await problemOf(session.query('select 1'), 'session_lost', [password()]);
    });

    test('while idle refuses the next pipeline', async () => {
      session = await another();
      await witness.query('select pg_terminate_backend($1::int)', [String(session.announcedPid)]);
      await until(() => !connection().open);
      await problemOf(session.pipeline([statement('select 1')]), 'session_lost', [password()]);
    });

    test.each(['reset', 'half-close'] as const)('in the middle of a pipeline by a %s rejects it', async (how) => {
      session = await another();
      const cut = relay.plan({ direction: 'to-client', afterMessages: 30, extraBytes: 3, how });
      const replies = session.pipeline(Array.from({ length: 200 }, (_, index) => statement('select $1::int as n', String(index))));
      await problemOf(replies, 'session_lost', [password()]);
      await cut.fired;
    });

    test('rejects although its source is silent, and closes the source', async () => {
      session = await another();
      let closed = false;
      const { promise: never, resolve: release } = Promise.withResolvers<void>();
      async function* messages(): AsyncGenerator<Message> {
        try {
          for (;;) {
            yield statement('select 1');
            await never;
          }
        } finally {
          closed = true;
        }
      }
      const replies = session.pipeline(messages());
      await until(() => connection().toServer.messages > 5);
      connection().cut();
      await problemOf(replies, 'session_lost', [password()]);
      release();
      await until(() => closed);
    });
  });

  describe('when it is closed', () => {
    test('ends its backend, and may be closed again', async () => {
      session = await another();
      await session.close();
      await session.close();
      await until(async () => (await witness.query('select from pg_stat_activity where pid = $1::int', [String(session.announcedPid)])).length === 0);
      await problemOf(session.query('select 1'), 'session_lost');
    });

    test('lets a CALL that runs go on to its end, and rejects who waits for it', async () => {
      session = await another();
      const call = session.pipeline([simple('call work_for_long()')]);
      const lost = problemOf(call, 'session_lost');
      await until(async () => (await witness.query(`select from pg_stat_activity where state = 'active' and query like 'call work%'`)).length > 0);
      const before = connection().toServer.messages;
      await session.close();
      await lost;
      expect(connection().toServer.messages, 'nothing to wait behind the CALL').toBe(before);
      await until(async () => (await seen()).includes('worked'));
    });

    test('returns although nothing moves on the network any more', async () => {
      session = await another();
      relay.silence();
      await session.close();
      expect(connection().open).toBe(true);
    });

    test('is not disturbed by what the network still reports', async () => {
      session = await another();
      const one = connection();
      relay.silence();
      const closing = session.close();
      one.cut();
      await closing;
    });
  });

  test('of another name is seen under that name', async () => {
    const named = await connectTo(through(relay, way, database.url, { applicationName: 'weft watcher' }))();
    expect(await named.query('show application_name')).toEqual([{ application_name: 'weft watcher' }]);
    await named.close();
  });
});

test('a session over tcp is lost at once when the server hangs up while much is still to be sent', async () => {
  // Lets everybody in, reads no more, and hangs up on the order of the test.
  let accepted: Socket | undefined;
  const deaf = createServer((socket) => {
    accepted = socket;
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.pause();
      socket.write(Buffer.from('R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I', 'latin1'));
    });
  });
  await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve));
  const { port } = deaf.address() as { port: number };
  const session = await connectTo({ connectionString: `postgres://somebody:in-the-clear@127.0.0.1:${port}/somewhere`, transport: 'tcp' })();
  const lost = problemOf(session.pipeline([statement('select $1::bytea', new Uint8Array(64 * mebibyte))]), 'session_lost', ['in-the-clear']);
  await new Promise((resolve) => setTimeout(resolve, 50));
  accepted?.end();
  await lost;
  accepted?.destroy();
  deaf.close();
});
