/**
 * What PostgreSQL runs in no transaction, and would do harm if it were done twice, or half: a partition detached, indexes built anew, a block that commits for
 * itself, and between them statements that count. Each is judged by the catalog, or by its `done_when`.
 */
import { sqlAnew as sql } from '../support/sql.ts';
import { AT_WORK, journalLook, RECEIPTS } from './looks.ts';
import { type Story, triggerOf } from './stories.ts';

const journal = (path: string, number: number): string => `insert into public.journal values ('${path}', ${number});`;

const MARKS = [
  ['apart/1.sql', 1],
  ['apart/1.sql', 3],
  ['apart/2.sql', 1],
  ['apart/2.sql', 4],
  ['apart/3.sql', 1],
  ['apart/4.sql', 2],
  ['fill/1.sql', 1],
] as const;

const FILES: Readonly<Record<string, string>> = {
  'weft.yaml': JSON.stringify({
    name: 'apart',
    phases: [
      { name: 'apart', transaction: 'none', lock_timeout: '1h', steps: [{ run: 'apart/*.sql' }] },
      {
        name: 'fill',
        transaction: 'none',
        lock_timeout: '1h',
        steps: [{ run: 'fill/1.sql', done_when: 'not exists (select from public.big where n is null)' }],
      },
    ],
  }),
  'apart/1.sql': `${journal('apart/1.sql', 1)}
alter table public.days detach partition public.monday concurrently;
${journal('apart/1.sql', 3)}`,
  'apart/2.sql': `${journal('apart/2.sql', 1)}
reindex index concurrently public.big_id;
reindex table concurrently public.days;
${journal('apart/2.sql', 4)}`,
  'apart/3.sql': `${journal('apart/3.sql', 1)}
vacuum public.big;
drop index concurrently public.big_id;`,
  'apart/4.sql': `vacuum (analyze) public.days;
${journal('apart/4.sql', 2)}`,
  'fill/1.sql': `${journal('fill/1.sql', 1)}
do $$ begin
  for i in 1..5 loop
    update public.big set n = id where id % 5 = i - 1 and n is null;
    commit;
  end loop;
end $$;`,
};

const FACTS = `select 'fact', format('%s, statement %s is %s, and what it does is done: %s', s.path, t.number, t.state, w.is_done)
from weft._statements as t
join weft._steps as s on s.deployment_id = t.deployment_id and s.ordinal = t.step
join (values
  ('apart/1.sql', 2, not exists (select from pg_inherits as i where i.inhrelid = (select k.oid from pg_class as k where k.relnamespace = 'public'::regnamespace and k.relname = 'monday'))),
  ('apart/3.sql', 3, (select k.oid from pg_class as k where k.relnamespace = 'public'::regnamespace and k.relname = 'big_id') is null),
  ('fill/1.sql', 2, not exists (select from public.big as b where b.n is null))
) as w (path, number, is_done) on w.path = s.path and w.number = t.number
where t.state = 'done' and not w.is_done`;

export const APART: Story = {
  name: 'apart',
  prepare: async (url) => {
    await sql(
      url,
      `create table public.journal (path text not null, number int not null);
       create table public.days (day text not null, n int not null, primary key (day, n)) partition by list (day);
       create table public.monday partition of public.days for values in ('monday');
       create table public.tuesday partition of public.days for values in ('tuesday');
       insert into public.days select d, n from unnest(array['monday', 'tuesday']) as d, generate_series(1, 50) as n;
       create table public.big (id int, n int);
       insert into public.big select i, null from generate_series(1, 200) as i;
       create index big_id on public.big (id);`,
    );
  },
  begin: (_, id) => triggerOf(FILES, { id, bundle: 'apart' }),
  look: [journalLook(MARKS), FACTS, RECEIPTS, AT_WORK].join('\nunion all\n'),
};
