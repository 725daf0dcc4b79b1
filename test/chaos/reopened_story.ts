/**
 * A deployment that ended as degraded is opened again, when what it stumbled over has been mended: the steps that failed run once more, one of them half
 * in no transaction, and the check behind them is asked again.
 */
import { resume } from '../../src/deployment/resume.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sqlAnew as sql } from '../support/sql.ts';
import { AT_WORK, journalLook } from './looks.ts';
import type { Story } from './stories.ts';

const journal = (path: string, number = 1): string => `insert into public.journal values ('${path}', ${number});`;

const MARKS: readonly (readonly [string, number])[] = [
  ['before.sql', 1],
  ['late/1.sql', 1],
  ['late/2.sql', 1],
  ['apart/1.sql', 1],
  ['apart/1.sql', 3],
  ['last.sql', 1],
];

const FILES: Readonly<Record<string, string>> = {
  'weft.yaml': JSON.stringify({
    name: 'reopened',
    phases: [
      { name: 'before', transaction: 'single', lock_timeout: '1h', steps: [{ run: 'before.sql' }] },
      { name: 'late', transaction: 'per-step', on_error: 'continue', lock_timeout: '1h', steps: [{ run: 'late/*.sql' }], checks: ['checks/*.sql'] },
      { name: 'apart', transaction: 'none', on_error: 'continue', lock_timeout: '1h', steps: [{ run: 'apart/*.sql' }] },
      { name: 'last', transaction: 'single', lock_timeout: '1h', steps: [{ run: 'last.sql' }] },
    ],
  }),
  'before.sql': journal('before.sql'),
  'late/1.sql': `${journal('late/1.sql')} insert into public.missing values (1);`,
  'late/2.sql': `${journal('late/2.sql')} insert into public.missing values (2); select pg_sleep(0.01);`,
  'checks/c.sql': 'select * from public.journal where number < 0;',
  'apart/1.sql': `${journal('apart/1.sql', 1)}
create index concurrently missing_n on public.missing (n);
${journal('apart/1.sql', 3)}
create index concurrently missing_again on public.missing (n, n);`,
  'last.sql': journal('last.sql'),
};

const INDEXES = `select 'index', format('%s, statement %s is recorded as done, and no such index is valid', s.path, t.number)
from weft._statements as t
join weft._steps as s on s.deployment_id = t.deployment_id and s.ordinal = t.step
join (values ('apart/1.sql', 2, 'public.missing_n'), ('apart/1.sql', 4, 'public.missing_again')) as w (path, number, name) on w.path = s.path and w.number = t.number
where t.state = 'done' and not exists (select from pg_index as i where i.indexrelid = (select k.oid from pg_class as k where k.relnamespace = 'public'::regnamespace and k.relname = replace(w.name, 'public.', '')) and i.indisvalid and i.indisready)`;

/** One for each end; opening it again takes none of them away. */
const RECEIPTS = `select 'receipt', format('%s, receipts: %s', d.state, string_agg(r.state::text, ', ')) from weft._deployments as d
left join weft._receipts as r on r.deployment_id = d.id
group by d.id, d.state
having count(r.state) <> case d.state when 'succeeded' then 2 else 1 end`;

export const REOPENED: Story = {
  name: 'reopened',
  prepare: async (url) => {
    await sql(url, 'create table public.journal (path text not null, number int not null)');
  },
  begin: async (url) => {
    const end = await deployFiles(connectOver(url), FILES, { bundle: 'reopened' });
    if (end.state !== 'degraded') throw new Error(`it should end as degraded, and is ${end.state}: ${JSON.stringify(end.error)}`);
    await sql(url, 'create table public.missing (n int)');
    return async (errand) => (await resume({ ...errand, id: end.id, target: null })).state === 'succeeded';
  },
  look: [journalLook(MARKS), INDEXES, RECEIPTS, AT_WORK].join('\nunion all\n'),
};
