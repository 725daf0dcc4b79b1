/**
 * The guards of the house, and which test protects each: what is broken on purpose, one at a time, and the test that must fail then.
 * `npm run mutants` breaks them; `guards.test.ts` sees to it that this list is about what is there.
 */
export interface Mutant {
  /** What the guard is for, as a sentence. */
  readonly guard: string;
  readonly file: string;
  /** Stands there once. */
  readonly find: string;
  readonly replace: string;
  readonly test: string;
  /** A part of the name of the test. */
  readonly named: string;
}

export const MUTANTS: readonly Mutant[] = [
  {
    guard: 'The fence: a runner whose lease was taken commits nothing any more',
    file: 'sql/70_lease.sql',
    find: "  if not found then\n    raise exception 'Another runner has taken the lease",
    replace: "  if false then\n    raise exception 'Another runner has taken the lease",
    test: 'test/engine/lease.test.ts',
    named: 'that wakes up after another one has finished commits nothing any more',
  },
  {
    guard: 'Liveness: whoever is at work is left at work',
    file: 'sql/70_lease.sql',
    find: "when v_activity.query_start = p_lease.query_start and v_activity.state = 'active' then 'alive'",
    replace: "when false then 'alive'",
    test: 'test/engine/lease.test.ts',
    named: 'one that comes late learns who is at work',
  },
  {
    guard: 'Liveness: a CALL that died in a session which stays open is dead',
    file: 'sql/70_lease.sql',
    find: "when v_activity.query_start = p_lease.query_start and v_activity.state = 'active' then 'alive'",
    replace: "when true then 'alive'",
    test: 'test/engine/lease.test.ts',
    named: 'whose CALL died in a session that rests',
  },
  {
    guard: 'The lease is locked before anybody looks',
    file: 'sql/70_lease.sql',
    find: 'select l.* into strict v_lease from weft._lease as l for update;',
    replace: 'select l.* into strict v_lease from weft._lease as l;',
    test: 'test/engine/lease.test.ts',
    named: 'of two who wait for the lease in the same instant',
  },
  {
    guard: 'Of another role is unknown, never dead',
    file: 'sql/70_lease.sql',
    find: "when v_activity.backend_start is null then 'unknown'",
    replace: "when v_activity.backend_start is null then 'gone'",
    test: 'test/engine/lease.test.ts',
    named: 'of another role is unknown, never dead',
  },
  {
    guard: 'The intent row: what is handed out is recorded as sent',
    file: 'sql/83_directives.sql',
    find: "set state = case when v_state = 'pending' then 'sent' else v_state end, judge",
    replace: 'set state = v_state, judge',
    test: 'test/engine/apart.test.ts',
    named: 'a statement that was handed out is shown until the next CALL knows',
  },
  {
    guard: 'The order of intent and statement: the intent is committed before the statement goes out',
    file: 'sql/90_run.sql',
    find: 'weft._record_block(v_phase, v_outcome, v_fence) end;\n        commit;',
    replace: "weft._record_block(v_phase, v_outcome, v_fence) end;\n        if v_outcome.verdict = 'directive' then rollback; else commit; end if;",
    test: 'test/engine/apart.test.ts',
    named: 'a statement that was handed out is shown until the next CALL knows',
  },
  {
    guard: 'The verdict on an index is given under a lock: nobody is at work on the table',
    file: 'sql/82_evidence.sql',
    find: "execute format('lock table %s in share update exclusive mode nowait', p_table::regclass);",
    replace: 'null;',
    test: 'test/engine/index_life.test.ts',
    named: 'somebody who only sweeps the table is waited for',
  },
  {
    guard: 'The digest check: each chunk is what was announced',
    file: 'sql/95_api.sql',
    find: 'select w.* into v_wrong from wrong as w;',
    replace: 'select w.* into v_wrong from wrong as w where false;',
    test: 'test/engine/open_and_stage.test.ts',
    named: 'proves every chunk by its digest',
  },
  {
    guard: 'The settings against client loss: nothing is said to a client that may be gone',
    file: 'sql/80_steps.sql',
    find: "              v_set := pg_catalog.set_config('client_min_messages', 'error', false);\n              if v_is_weft then",
    replace: '              if v_is_weft then',
    test: 'test/engine/steps.test.ts',
    named: 'nothing that it raises reaches the wire',
  },
  {
    guard: 'The settings against client loss: a session begins with them, whatever the database says',
    file: 'src/database/startup.ts',
    find: "client_connection_check_interval: '0'",
    replace: "client_connection_check_interval: '1000'",
    test: 'test/database/session.test.ts',
    named: 'with everything a long run needs, whatever the database says otherwise',
  },
  {
    guard: 'The same request is one deployment; another one under its id is a conflict',
    file: 'sql/95_api.sql',
    find: 'if v_existing.request_digest <> v_digest then',
    replace: 'if false then',
    test: 'test/engine/open_and_stage.test.ts',
    named: 'with the id of another request is a conflict',
  },
  {
    guard: 'Twenty who install at once do not collide',
    file: 'src/database/install.ts',
    find: "`select pg_advisory_xact_lock(hashtextextended('weft: installation of the engine', 0));\\n`,",
    replace: '',
    test: 'test/engine/install.test.ts',
    named: 'by twenty callers at once is done by one of them',
  },
  {
    guard: 'A client that went without a word is in nobody’s way',
    file: 'sql/85_line.sql',
    find: 'coalesce(a.backend_xid, a.backend_xmin) is not null',
    replace: 'false',
    test: 'test/engine/cancel.test.ts',
    named: 'its session is ended by the next CALL, or the next order',
  },
  {
    guard: 'A client that holds no more than a snapshot is in no build’s way',
    file: 'sql/85_line.sql',
    find: 'coalesce(a.backend_xid, a.backend_xmin) is not null',
    replace: 'a.backend_xid is not null',
    test: 'test/engine/cancel.test.ts',
    named: 'is in no concurrent build’s way',
  },
  {
    guard: 'A request to cancel is seen between two steps',
    file: 'sql/80_steps.sql',
    find: 'if exists (select from weft._cancellations as c where c.deployment_id = p_deployment) then\n            raise query_canceled;',
    replace: 'if false then\n            raise query_canceled;',
    test: 'test/engine/cancel.test.ts',
    named: 'is ended between two statements of a file that swallows the signal',
  },
  {
    guard: 'Deaths without a word are counted, so that a step which kills its backend comes to an end',
    file: 'sql/30_constants.sql',
    find: "when 'attempts_without_progress_count' then 5 ",
    replace: "when 'attempts_without_progress_count' then 50000 ",
    test: 'test/engine/deaths.test.ts',
    named: 'in an all-or-nothing phase is given up too',
  },
  {
    guard: 'Each file begins in a session that is as at the beginning',
    file: 'sql/72_session.sql',
    find: 'reset all; close all; discard temp; discard sequences; deallocate all; unlisten *',
    replace: 'reset all',
    test: 'test/engine/steps.test.ts',
    named: 'temporary tables',
  },
  {
    guard: 'Nothing of the user’s depends on schema weft',
    file: 'sql/76_guards.sql',
    find: "  if found then\n    raise exception 'After this, % would depend on Weft",
    replace: "  if false then\n    raise exception 'After this, % would depend on Weft",
    test: 'test/engine/errors.test.ts',
    named: 'that would depend on the schema weft, or change what it holds (law 11)',
  },
  {
    guard: 'Dependencies are looked at whenever one has changed, in a transaction',
    file: 'sql/76_guards.sql',
    find: 'if weft._count_dependency_changes() = p_changes then',
    replace: 'if p_changes is not null then',
    test: 'test/engine/errors.test.ts',
    named: 'that would depend on the schema weft, or change what it holds (law 11)',
  },
  {
    guard: 'A receipt is never changed',
    file: 'sql/76_receipts.sql',
    find: 'before update or delete on weft._receipts',
    replace: 'before update of number on weft._receipts',
    test: 'test/engine/receipts.test.ts',
    named: 'not by ',
  },
  {
    guard: 'The end of a deployment does not fail because of its receipt',
    file: 'sql/76_receipts.sql',
    find: 'v_document := weft._as_utf8(weft._account_for(p_deployment, v_number));\n  exception when others then',
    replace: "v_document := weft._as_utf8(weft._account_for(p_deployment, v_number));\n  exception when sqlstate 'ZZZZZ' then",
    test: 'test/engine/receipts.test.ts',
    named: 'whatever is wrong with the account',
  },
  {
    guard: 'Only what resembles our own sessions to the letter is ended',
    file: 'sql/85_line.sql',
    find: "a.query ~ '^(?:(?:select|call) weft",
    replace: "a.query ~ '(?:(?:|select|call) weft",
    test: 'test/engine/cancel.test.ts',
    named: 'is not taken for somebody whose client is at work',
  },
  {
    guard: 'A signature is by one of the secrets',
    file: 'src/trust/signature.ts',
    find: 'if (await isSame(expected, signature)) caller = name;',
    replace: 'caller = name;',
    test: 'test/trust/signature.test.ts',
    named: 'any one bit of the body',
  },
  {
    guard: 'A signature is fresh',
    file: 'src/trust/signature.ts',
    find: 'if (Math.abs(seconds) > LIMITS.signature_tolerance_seconds) {',
    replace: 'if (seconds < -LIMITS.signature_tolerance_seconds) {',
    test: 'test/trust/signature.test.ts',
    named: 'tells how old a genuine signature is',
  },
];
