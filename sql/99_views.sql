-- What people read.

create or replace view weft.deployments as
select d.id, d.state, d.mode, d.undoes, d.bundle, nullif(d.target, '') as target, d.caller, d.request_id, d.place,
       d.created_at, d.staged_at, d.started_at, d.finished_at,
       c.steps, c.steps_done,
       d.error ->> 'message' as error, d.fingerprint_before, d.fingerprint_after, d.wal_before, d.wal_after,
       (select a.caller from weft._approvals as a where a.deployment_id = d.id) as approved_by
from weft._deployments as d
cross join lateral (
  select pg_catalog.count(*) as steps, pg_catalog.count(*) filter (where s.state in ('succeeded', 'skipped')) as steps_done
  from weft._steps as s
  where s.deployment_id = d.id
    -- in an undo, a file that was not called back is no step, and one that was put off counts where it finally runs
    and (d.undoes is null or s.state <> 'skipped' or not s.options ? 'keeps' and not exists (
      select from weft._steps as o where o.deployment_id = d.id and o.path = s.path and o.options ? 'keeps' and o.state <> 'skipped'))
) as c;

comment on view weft.deployments is 'Deployments to this database. To continue one that is staged or running: call weft.run(id). To approve one that waits for that: weft.approve(id, digest), as listed in weft.approvals.';

create or replace view weft.approvals as
select p.deployment_id, d.bundle, d.mode, d.state, d.caller, p.environment, pg_catalog.encode(p.digest, 'hex') as digest, p.asked_at, p.approve_until, a.caller as approved_by, a.approved_at
from weft._protections as p
join weft._deployments as d on d.id = p.deployment_id
left join weft._approvals as a on a.deployment_id = p.deployment_id
where p.second_person;

comment on view weft.approvals is 'Deployments that need the approval of somebody other than their caller: of which digest, until when, and who has given it.';

create or replace view weft.steps as
select s.deployment_id, s.ordinal, p.name as phase, p.transaction, s.kind, s.path, s.condition, s.is_wanted, s.state, coalesce(s.statements, t.done) as statements, s.rows, s.milliseconds, s.finished_at,
       s.error ->> 'sqlstate' as sqlstate, s.error ->> 'message' as error, (s.error ->> 'line')::integer as line, s.error ->> 'statement' as statement,
       case when s.state in ('pending', 'failed') and (t.done is not null or s.statements is not null) then
         weft._tell_what_stays(s, coalesce(s.statements, t.done), coalesce((s.error ->> 'runs_again')::boolean, t.runs_again, false), d.finished_at is not null) end as account,
       s.result
from weft._steps as s
join weft._deployments as d on d.id = s.deployment_id
join weft._phases as p on p.deployment_id = s.deployment_id and p.ordinal = s.phase
left join lateral (select c.done, c.runs_again from weft._count_statements(s.deployment_id) as c where c.step = s.ordinal and s.state in ('pending', 'failed')) as t on true;

comment on view weft.steps is 'Steps of deployments, each with what became of it. If a step failed that ran statement by statement: how many are done, and what stays.';

create or replace view weft.rehearsals as
select r.deployment_id, pg_catalog.row_number() over (partition by r.deployment_id order by s.ordinality, t.ordinality) as ordinal,
       s.value ->> 'phase' as phase, s.value ->> 'path' as path, (t.value ->> 'line')::integer as line, t.value ->> 'statement' as statement,
       (t.value ->> 'milliseconds')::numeric as milliseconds, (t.value ->> 'rows')::bigint as rows,
       (select pg_catalog.string_agg(pg_catalog.concat_ws(' on ', l.value ->> 'mode', l.value ->> 'object'), ', ') from pg_catalog.jsonb_array_elements(t.value -> 'locks') as l) as locks,
       (select pg_catalog.string_agg(w.value ->> 'object', ', ') from pg_catalog.jsonb_array_elements(t.value -> 'rewritten') as w) as rewritten,
       coalesce(t.value #>> '{instead,text}', s.value #>> '{error,message}') as remark
from weft._reports as r
cross join pg_catalog.jsonb_array_elements(r.report -> 'steps') with ordinality as s
left join pg_catalog.jsonb_array_elements(s.value -> 'statements') with ordinality as t on true;

comment on view weft.rehearsals is 'What rehearsals have shown about each statement. The whole report: weft.status(id) -> ''rehearsal''.';

create or replace view weft.batches as
select b.deployment_id, p.name as phase, s.path, s.state, b.rounds, b.rows, b.size, b.table_name, b.table_rows,
       pg_catalog.round(b.rows * 1000 / nullif(b.worked_ms + b.paused_ms, 0), 1) as rows_per_second,
       b.throttled_by ->> 'why' as throttled_by, b.cursor, b.last_rows, b.last_ms, b.started_at, b.last_round_at
from weft._steps as s
cross join lateral weft._recall_batch(s) as b
join weft._phases as p on p.deployment_id = s.deployment_id and p.ordinal = s.phase
where s.kind = 'batch' and b.step is not null;

comment on view weft.batches is 'How far each batch is, after its last committed round; if another deployment has continued it, how far it was, without the cursor.';

create or replace view weft.history as
select h.bundle, h.path, pg_catalog.encode(h.digest, 'hex') as digest, h.deployment_id, h.applied_at, a.caller as approved_by
from weft._history as h
left join weft._approvals as a on a.deployment_id = h.deployment_id;

comment on view weft.history is 'What has been applied to this database, by bundle and path.';

create or replace view weft.begun as
select f.bundle, f.path, f.deployment_id, f.at, f.statements, f.rounds, f.account
from weft._find_begun() as f;

comment on view weft.begun is 'Files that were run only in part, by bundle and path: what of each is in this database.';

create or replace view weft.events as
select e.deployment_id, e.number, e.at, e.kind, e.phase, e.path, e.data
from weft._events as e;

comment on view weft.events is 'The journal of deployments.';

create or replace view weft.receipts as
select r.deployment_id, r.number, r.state, d.bundle, d.caller, r.written_at, pg_catalog.encode(r.digest, 'hex') as sha256, r.document
from weft._receipts as r
join weft._deployments as d on d.id = r.deployment_id;

comment on view weft.receipts is 'How deployments ended: for each end, the account that was written then, and its SHA-256.';

create or replace view weft.settings as
select l.name, weft._setting(l.name) as value, l.default_value, s.changed_at, s.changed_by, l.meaning
from weft._list_settings() as l
left join weft._settings as s on s.name = l.name;

comment on view weft.settings is 'How long this database keeps what nobody needs any more, in days or hours, as the names say. To change one: weft.change_setting(name, value).';

create or replace view weft.parameters as
select p.deployment_id, p.name, p.type, p.is_secret, p.is_given, p.value
from weft._parameters as p;

comment on view weft.parameters is 'Parameters of deployments, with what they were given; never the value of a secret.';

-- Only for the owner. Everybody may execute weft.parameter(), but others get usage of the schema only during a run: see weft._admit_role.
revoke all on all routines in schema weft from public;
grant execute on function weft.parameter(text) to public;
