/** What is not to be kept any more is swept, in small transactions, and cut: what stays is the same, and what went is gone. */
import type { SqlError } from '../../src/database/session.ts';
import { answerOf, Patience } from '../../src/deployment/errand.ts';
import { setLimits } from '../support/limits.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sqlAnew as sql } from '../support/sql.ts';
import { AT_WORK, RECEIPTS } from './looks.ts';
import type { Story } from './stories.ts';

const WEFT_YAML = JSON.stringify({ name: 'swept', phases: [{ name: 'main', steps: [{ run: '*.sql', repeat: 'on-change' }] }] });

/** What the history has, and what an undo of the newest needs, is never away. */
const KEPT = `select 'kept' as what, h.path as which from weft._history as h where weft.kept_file(h.bundle, h.path) is null`;

function isInterruption({ sqlstate }: SqlError): boolean {
  return sqlstate.startsWith('57');
}

export const SWEEP: Story = {
  name: 'sweep',
  prepare: async (url) => {
    await sql(url, `select weft.change_setting('kept_deployments_count', 1)`);
    await sql(url, `select weft.change_setting('sweep_every_hours', 100000)`);
    for (let n = 1; n <= 6; n += 1) {
      const files = Object.fromEntries(
        Array.from({ length: 12 }, (_, v) => [`v${v}.sql`, `create or replace view public.v${v} as select ${n * 100 + v} as n;`]),
      );
      await deployFiles(connectOver(url), { 'weft.yaml': WEFT_YAML, ...files }, { bundle: 'swept' });
    }
    const by = `- interval '2000 days'`;
    await sql(
      url,
      `update weft._deployments set created_at = created_at ${by}, staged_at = staged_at ${by}, started_at = started_at ${by}, finished_at = finished_at ${by};
       update weft._chunks set staged_at = staged_at ${by}; update weft._events set at = at ${by}`,
    );
    await setLimits(url, { sweep_chunks_count: 3, sweep_events_count: 10, sweep_requests_count: 1 });
  },
  begin: async () => async (errand) => {
    const session = await errand.connect();
    try {
      const [reply] = await answerOf(session, session.pipeline([{ kind: 'simple', text: 'call weft.sweep()' }]), new Patience(errand));
      if (reply?.kind !== 'error') return true;
      if (isInterruption(reply.error)) return false;
      throw reply.error;
    } finally {
      await session.close();
    }
  },
  look: [KEPT, RECEIPTS, AT_WORK].join('\nunion all\n'),
  more: `select format('%s chunks: %s', count(*), md5(string_agg(encode(c.digest, 'hex'), ',' order by c.digest))) as line from weft._chunks as c
    union all select format('%s events: %s', count(*), string_agg(distinct e.kind, ',')) from weft._events as e
    union all select format('%s requests', count(*)) from weft._deployments as d where length(d.request) > 0`,
  overAt: "(select max(s.swept_at) from weft._sweeps as s where s.swept_at > clock_timestamp() - interval '1 hour')",
};
