/** A database that has everything already is said to be at a bundle: nothing runs, and all of it is recorded, or nothing. */
import { sqlAnew as sql } from '../support/sql.ts';
import { AT_WORK, RECEIPTS } from './looks.ts';
import { type Story, triggerOf } from './stories.ts';

const FILES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    Array.from({ length: 30 }, (_, n) => [`schema/${n + 10}.sql`, `create table public.t${n} (n int); insert into public.t${n} values (${n});`]),
  ),
  'views/v.sql': 'create or replace view public.v as select n from public.t1;',
  'weft.yaml': JSON.stringify({ name: 'there', phases: [{ name: 'main', steps: [{ run: 'schema/*.sql' }, { run: 'views/*.sql', repeat: 'on-change' }] }] }),
};

const NOTHING_RAN = `select 'it ran', 'a table has rows' where (select count(*) from public.t1) + (select count(*) from public.t29) > 0`;

const ALL_OR_NOTHING = `select 'history', format('%s, and %s files in the history', d.state, h.count)
from weft._deployments as d
cross join lateral (select count(*) as count from weft._history) as h
where h.count <> case d.state when 'succeeded' then 31 else 0 end`;

export const BASELINE: Story = {
  name: 'baseline',
  prepare: async (url) => {
    await sql(url, `${Array.from({ length: 30 }, (_, n) => `create table public.t${n} (n int);`).join('\n')} create view public.v as select n from public.t1;`);
  },
  begin: (_, id) => triggerOf(FILES, { id, bundle: 'there', mode: 'baseline' }),
  look: [`select 'nothing' as what, '' as which where false`, NOTHING_RAN, ALL_OR_NOTHING, RECEIPTS, AT_WORK].join('\nunion all\n'),
};
