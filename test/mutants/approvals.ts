/** The guards of a second person's word, and of what forges are told behind it. */
import type { Mutant } from './mutants.ts';

const ENGINE = 'test/engine/approvals.test.ts';

export const APPROVAL_MUTANTS: readonly Mutant[] = [
  {
    guard: 'What needs a second person is in nobody’s line before',
    file: 'sql/74_protection.sql',
    find: 'where p.deployment_id = p_deployment and p.second_person and not exists (',
    replace: 'where p.deployment_id = p_deployment and false and not exists (',
    test: ENGINE,
    named: 'waits in state open, with everything in the database',
  },
  {
    guard: 'Nobody approves what they have opened',
    file: 'sql/86_approvals.sql',
    find: 'elsif v_deployment.caller = v_caller then',
    replace: 'elsif false then',
    test: ENGINE,
    named: 'is never approved by whoever has opened it',
  },
  {
    guard: 'An approval is of this digest',
    file: 'sql/86_approvals.sql',
    find: "elsif encode(v_protection.digest, 'hex') is distinct from p_digest then",
    replace: 'elsif false then',
    test: ENGINE,
    named: 'is not approved by ',
  },
  {
    guard: 'What is over is not approved any more',
    file: 'sql/86_approvals.sql',
    find: 'elsif v_deployment.finished_at is not null then',
    replace: 'elsif false then',
    test: ENGINE,
    named: 'cannot be approved any more when it is over',
  },
  {
    guard: 'An approval comes in its time, or not at all',
    file: 'sql/86_approvals.sql',
    find: 'if v_protection.approve_until <= clock_timestamp() or v_later',
    replace: 'if v_later',
    test: ENGINE,
    named: 'is cancelled when nobody approves it in time',
  },
  {
    guard: 'Who approves has the grant for that, on this target',
    file: 'src/trust/request.ts',
    find: "request.mode === 'baseline' ? 'baseline' : type, target);",
    replace: "request.mode === 'baseline' ? 'baseline' : type === 'approve' ? 'read' : type, target);",
    test: 'test/cli/approve_worker.test.ts',
    named: 'needs the grant: without it no database is asked',
  },
  {
    guard: 'Whoever has opened what is approved may still do so',
    file: 'src/trust/rules.ts',
    find: "if (caller !== DIRECT_CALLER) requireGrant(config, caller ?? '', action, target);",
    replace: '',
    test: 'test/trust/rules.test.ts',
    named: 'may be approved while its caller may still deploy',
  },
  {
    guard: 'What is approved is run in the hours of its environment',
    file: 'src/trust/rules.ts',
    find: "if (environment !== undefined && action !== 'undo') requireHours(environment, target, nowSeconds, NOT_APPROVED);",
    replace: '',
    test: 'test/trust/rules.test.ts',
    named: 'may be approved while its caller may still deploy',
  },
  {
    guard: 'What a forge is told of an end, a Worker has written who knows a secret of that forge’s',
    file: 'src/operations/owed.ts',
    find: 'return (await isErrandProved(errand, target, proof, forge.webhooks)) ? parsed.data : null;',
    replace: 'await isErrandProved(errand, target, proof, forge.webhooks);\n  return parsed.data;',
    test: 'test/forges/owed.test.ts',
    named: 'is told nowhere',
  },
  {
    guard: 'Two who come by tell a forge an end once',
    file: 'sql/87_owed.sql',
    find: 'where d.finished_at is not null and o.held_until <= clock_timestamp()',
    replace: 'where d.finished_at is not null',
    test: 'test/engine/owed.test.ts',
    named: 'is nobody else’s as long as whoever opens it is about it',
  },
];
