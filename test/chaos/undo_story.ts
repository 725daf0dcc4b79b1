/**
 * The second release of a bundle is taken back: files that brought their undo, a load whose rows come back, a batch, a view that is what it was, and an
 * index that is dropped concurrently. The undo of a file writes into the journal, so that a second time would show.
 */
import type { Connect } from '../../src/database/session.ts';
import { undo } from '../../src/deployment/undo.ts';
import { isOver } from '../../src/domain/deployment.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sqlAnew as sql } from '../support/sql.ts';
import { AT_WORK, journalLook, RECEIPTS } from './looks.ts';
import type { Story } from './stories.ts';

type Files = Readonly<Record<string, string>>;

const journal = (path: string): string => `insert into public.journal values ('${path}', 1);`;

const MARKS = ['undo/2.sql', 'unindex/1.sql', 'unindex/2.sql', 'unfill.sql', 'apart/u.sql'].map((path) => [path, 1] as const);

const bundle = (phases: readonly object[], files: Files): Files => ({ ...files, 'weft.yaml': JSON.stringify({ name: 'taken-back', phases }) });

const SCHEMA = { name: 'schema', transaction: 'single', lock_timeout: '1h', steps: [{ run: 'schema/*.sql', undo: 'undo/*.sql' }] };
const DATA = { name: 'data', transaction: 'per-step', lock_timeout: '1h', steps: [{ load: 'data/c.csv', into: 'public.c', mode: 'sync', key: ['code'] }] };
const VIEWS = { name: 'views', transaction: 'single', lock_timeout: '1h', steps: [{ run: 'views/*.sql', repeat: 'on-change' }] };

const FIRST = bundle([SCHEMA, DATA, VIEWS], {
  'schema/1.sql': `create table public.c (code text primary key, name text);
create table public.big (id int primary key, total int);
insert into public.big select g, null from generate_series(1, 60) as g;`,
  'undo/1.sql': 'drop table public.c, public.big;',
  'data/c.csv': 'code,name\na,A\nb,B\n',
  'views/v.sql': 'create or replace view public.v as select code from public.c;',
  'views/w.sql': 'create or replace view public.w as select count(*) as n from public.v;',
});

const SECOND = bundle(
  [
    SCHEMA,
    DATA,
    { name: 'fill', lock_timeout: '1h', steps: [{ batch: 'fill.sql', size: 20, undo: 'unfill.sql' }] },
    VIEWS,
    { name: 'indexes', transaction: 'none', lock_timeout: '1h', steps: [{ run: 'indexes/*.sql', undo: 'unindex/*.sql' }] },
    { name: 'apart', transaction: 'auto', lock_timeout: '1h', steps: [{ run: 'apart/a.sql', undo: 'apart/u.sql' }] },
  ],
  {
    ...FIRST,
    'schema/2.sql': 'alter table public.c add note text;',
    'undo/2.sql': `${journal('undo/2.sql')} alter table public.c drop note;`,
    'data/c.csv': 'code,name\na,AA\nc,C\n',
    'fill.sql': 'update public.big set total = 1 where id in (select id from public.big where total is null limit :size)',
    'unfill.sql': `${journal('unfill.sql')} update public.big set total = null;`,
    'views/v.sql': 'create or replace view public.v as select code, note from public.c;',
    'indexes/1.sql': 'create index concurrently c_name on public.c (name);',
    'unindex/1.sql': `${journal('unindex/1.sql')} drop index concurrently public.c_name;`,
    'indexes/2.sql': 'create index concurrently big_total on public.big (total);',
    'unindex/2.sql': `${journal('unindex/2.sql')} drop index concurrently public.big_total;`,
    'apart/a.sql': 'create table public.apart (n int);',
    'apart/u.sql': `${journal('apart/u.sql')} drop table public.apart;`,
  },
);

/** What each file of the undo leaves, or not yet: by the path that it has in the record, where it may stand twice, for what has to wait for something behind it. */
const FACTS = `select 'fact', format('%s is recorded as done: %s, and what it takes back is there: %s', s.path, s.is_done, w.is_there)
from (
  select o.path, bool_or(o.state = 'succeeded') as is_done from weft._steps as o
  join weft._deployments as d on d.id = o.deployment_id and d.undoes is not null
  group by o.path) as s
join lateral (values
  ('undo/2.sql', exists (select from pg_attribute as a where a.attrelid = (select k.oid from pg_class as k where k.relnamespace = 'public'::regnamespace and k.relname = 'c') and a.attname = 'note' and not a.attisdropped)),
  ('apart/u.sql', (select k.oid from pg_class as k where k.relnamespace = 'public'::regnamespace and k.relname = 'apart') is not null),
  ('unfill.sql', exists (select from public.big as b where b.total is not null)),
  ('data/c.csv', not exists (select from public.c where code = 'b'))
) as w (path, is_there) on w.path = s.path
where s.is_done = w.is_there`;

/** What is taken back is not in the history, and what is not is. */
const HISTORY = `select 'history', s.undoes_path from (
  select h.path as undoes_path from weft._history as h
  join (values ('schema/2.sql', 'undo/2.sql'), ('apart/a.sql', 'apart/u.sql'), ('indexes/1.sql', 'unindex/1.sql'), ('indexes/2.sql', 'unindex/2.sql'), ('fill.sql', 'unfill.sql')) as w (path, undo) on w.path = h.path
  join weft._steps as s on s.path = w.undo and s.state = 'succeeded'
  join weft._deployments as d on d.id = s.deployment_id and d.undoes is not null) as s`;

async function deployIt(connect: Connect, files: Files, state: string): Promise<void> {
  const end = await deployFiles(connect, files, { bundle: 'taken-back' });
  if (end.state !== state) throw new Error(`the deployment before the undo is ${end.state}: ${JSON.stringify(end.error)}`);
}

export const UNDO: Story = {
  name: 'undo',
  prepare: async (url) => {
    await sql(url, 'create table public.journal (path text not null, number int not null)');
    await deployIt(connectOver(url), FIRST, 'succeeded');
    await deployIt(connectOver(url), SECOND, 'succeeded');
  },
  begin: async (url, id) => {
    const [{ deployment }] = await sql(url, 'select id as deployment from weft._deployments order by created_at desc limit 1');
    const request = Buffer.from(JSON.stringify({ type: 'undo', id, deployment, expires_at: '2099-01-01T00:00:00Z' }));
    const order = { request, caller: 'direct', target: null, signature: null };
    return async (errand) => isOver((await undo({ ...errand, order })).state);
  },
  look: [journalLook(MARKS), FACTS, HISTORY, RECEIPTS, AT_WORK].join('\nunion all\n'),
};
