/** What becomes of a change that a forge has told of, try by try: with a forge and a drive that do as the test says, and no database. */
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import type { SettledOwed, TakeOwed } from '../../src/database/owed.ts';
import type { Waiting } from '../../src/database/words.ts';
import type { ApproveOptions } from '../../src/deployment/approve.ts';
import type { AttendOptions } from '../../src/deployment/attend.ts';
import type { DeployOptions } from '../../src/deployment/deploy.ts';
import type { Account, ForgeWork } from '../../src/domain/change.ts';
import type { Deployment, DeploymentState } from '../../src/domain/deployment.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Manifest } from '../../src/domain/manifest.ts';
import { Problem, type ProblemSlug } from '../../src/domain/problem.ts';
import type { Confirmed, ForgeAtHand, ForgeClient } from '../../src/forges/forge.ts';
import { carryOut } from '../../src/operations/change.ts';
import type { ChangeDesk } from '../../src/operations/desk.ts';
import { ID, manifestOf } from '../http/requests.ts';
import { makeDeployment } from '../http/support.ts';
import { CHANGE, makeWork } from '../support/changes.ts';

/** A Wednesday. */
const NOW = Date.parse('2026-03-04T12:00:00Z');

const makeConfig = (edit: (config: Record<string, unknown>) => void = () => undefined) => {
  const config = {
    origin: 'https://weft.test',
    environments: { production: { branches: ['main'], hours: { days: ['mon', 'tue', 'wed'], from: '08:00', until: '18:00', zone: 'UTC' } } },
    targets: { shop: { database: 'A', transport: 'tcp', environment: 'production' }, staging: { database: 'B', transport: 'tcp' } },
    callers: { hub: { forge: { kind: 'github', webhook_secrets: ['C'], token: 'D' } } },
    grants: [{ caller: 'hub', targets: ['*'], actions: ['deploy'] }],
    sources: [
      { forge: 'hub', repository_id: '7', folder: 'db', event: 'push', branch: '*', target: 'shop' },
      { forge: 'hub', repository_id: '7', folder: 'db', event: 'pull_request', branch: 'main', target: 'shop', mode: 'apply' },
      { forge: 'hub', repository_id: '7', folder: 'db', event: 'deployment', environment: 'staging', target: 'staging', parameters: { size: 3 } },
    ],
  };
  edit(config);
  return parseConfig(config);
};

interface Will {
  readonly config?: ReturnType<typeof makeConfig>;
  readonly confirmed?: Confirmed | ProblemSlug;
  /** What the forge says when the files are there. */
  readonly confirmedAgain?: Confirmed;
  readonly fetch?: ProblemSlug;
  /** How the drive ends, or what it throws before or after there is a deployment. */
  readonly end?: Partial<Deployment>;
  readonly refused?: ProblemSlug;
  /** It is found as an earlier delivery has opened it. */
  readonly repeated?: DeploymentState;
  readonly overtakenBy?: string;
  readonly lost?: ProblemSlug;
  readonly attended?: Partial<Deployment> | ProblemSlug;
  readonly report?: ProblemSlug;
  /** What others do with what is owed: told it, or are about it; without it, it is left to us. */
  readonly others?: 'told' | 'about_it' | 'unreachable';
  readonly isKept?: boolean;
  /** What waits with these files, the newest first. */
  readonly waiting?: Waiting[];
  /** What this proof has approved before. */
  readonly approved?: string;
  /** How approvals end, by turns, before and behind their commit; then well. */
  readonly approvals?: readonly (readonly ['before' | 'behind', ProblemSlug])[];
  readonly parameters?: Manifest['parameters'];
}

function makeDesk(will: Will = {}) {
  const fail = (slug: ProblemSlug, facts = {}): never => {
    throw new Problem(slug, 'As the test has it, at db.internal.example.', facts);
  };
  const seen = {
    told: [] as Account[],
    fetched: 0,
    drives: [] as DeployOptions[],
    attended: [] as AttendOptions[],
    opened: [] as string[],
    over: [] as string[],
    approved: [] as ApproveOptions[],
    asked: [] as unknown[],
    taken: [] as TakeOwed[],
    settled: [] as SettledOwed[],
  };
  const approvals = [...(will.approvals ?? [])];
  const client: ForgeClient = {
    confirm: async ({ branch }) => {
      if (seen.fetched > 0 && will.confirmedAgain !== undefined) return will.confirmedAgain;
      return typeof will.confirmed === 'string' ? fail(will.confirmed) : (will.confirmed ?? { branch, stale: null });
    },
    fetchBundle: async () => {
      seen.fetched += 1;
      if (will.fetch !== undefined) fail(will.fetch, { path: 'weft.yaml', line: 3 });
      return {
        manifest: manifestOf({ '1.sql': 'select 1;' }, { parameters: will.parameters ?? [{ name: 'size', type: 'integer' }] } as object),
        warnings: [],
        async *chunks() {},
      };
    },
    report: async (_change, account, reports) => {
      if (will.report !== undefined) return { reports, error: new Problem(will.report, 'As the test has it.') };
      seen.told.push(account);
      return { reports: { ...reports, check: '12' }, error: undefined };
    },
  };
  const desk: ChangeDesk = {
    config: will.config ?? makeConfig(),
    forges: new Map([['hub', { name: 'hub', kind: 'github', webhooks: ['of-the-test'], client }]]),
    connect: () => () => Promise.reject(new Error('nobody opens a session here')),
    deploy(options) {
      seen.drives.push(options);
      const opened = (async () =>
        will.refused === undefined
          ? { id: ID, state: will.repeated ?? 'staged', repeated: will.repeated !== undefined, missing: [], overtakenBy: will.overtakenBy ?? null }
          : fail(will.refused))();
      return { opened, done: opened.then(() => (will.lost === undefined ? makeDeployment(will.end ?? {}) : fail(will.lost))) };
    },
    attend: async (options) => {
      seen.attended.push(options);
      return { deployment: typeof will.attended === 'string' ? fail(will.attended) : makeDeployment(will.attended ?? {}), isAtWork: false };
    },
    findWaiting: async () => will.waiting ?? [],
    findApproved: async (_target, ...asked) => {
      seen.asked.push(asked);
      return will.approved ?? null;
    },
    approve: async (options) => {
      const [when, slug = 'internal'] = approvals.shift() ?? [];
      if (when === 'before') fail(slug);
      seen.approved.push(options);
      options.onStatus?.(makeDeployment({ id: options.deployment }));
      return when === 'behind' ? fail(slug) : makeDeployment({ id: options.deployment });
    },
    takeOwed: async (_target, what) => {
      seen.taken.push(what);
      if (will.others === 'unreachable') fail('database_unreachable');
      const owed = { key: what.of?.key ?? '', errand: '', proof: '', tries: 1, deployment: makeDeployment() };
      return { taken: will.others === undefined ? [owed] : [], is_owed: will.others !== 'told' };
    },
    settleOwed: async (_target, settled) => void seen.settled.push(...settled),
    isKept: will.isKept ?? true,
    now: () => NOW,
    hide: (text) => text.replaceAll('db.internal.example', '[hidden]'),
    onOpened: async (_target, id) => void seen.opened.push(id),
    onOver: async (_target, id) => void seen.over.push(id),
  };
  return { desk, seen };
}

const take = async (will: Will = {}, work = makeWork()) => {
  const { desk, seen } = makeDesk(will);
  return { progress: await carryOut(desk, work, 1000), seen };
};

test('it is told twice: when it is taken up, and how it ended', async () => {
  const { progress, seen } = await take();
  expect(progress).toMatchObject({ finding: 'told', again_seconds: null, state: 'succeeded', errors: [] });
  expect(seen.told.map(({ state, title }) => [state, title])).toEqual([
    ['running', 'Deploying to shop'],
    ['success', 'shop is deployed to shop'],
  ]);
  expect([seen.opened, seen.over]).toEqual([[ID], [ID]]);
});

test('delivered again while it runs, it is looked after; when it is over, nobody is asked to look', async () => {
  expect((await take({ repeated: 'running' })).seen.opened).toEqual([ID]);
  const { progress, seen } = await take({ repeated: 'succeeded' });
  expect([progress.finding, seen.opened]).toEqual(['told', []]);
});

test('the request is the same for the same, and another one for what is asked for anew or given other parameters', async () => {
  const idOf = async (work: ForgeWork, config = makeConfig()) => {
    const { seen } = await take({ config }, work);
    const { request, caller, signature, mode } = seen.drives[0]?.order ?? {};
    const document = JSON.parse(new TextDecoder().decode(request));
    expect([caller, document.audience, document.mode ?? null]).toEqual(['hub', 'https://weft.test', mode ?? null]);
    expect(signature).toMatchObject({ webhook_of: 'github', body_sha256: 'b'.repeat(64), signature: 'sha256=00' });
    return document.id as string;
  };
  const first = await idOf(makeWork());
  expect(first).toMatch(/^github-[0-9a-f]{64}$/);
  // Another delivery, another branch with the same head, a repository that was renamed.
  const repository = { id: '7', name: 'octo/renamed' };
  expect(await idOf(makeWork({ looks: 3, proof: { delivery: 'b'.repeat(64), signature: 'sha256=00' } }, { branch: 'main', repository }))).toBe(first);
  const other = makeConfig((config) => {
    config.sources = [
      { forge: 'hub', repository_id: '7', folder: 'db', event: 'deployment', environment: 'staging', target: 'staging', parameters: { size: 4 } },
    ];
  });
  const deployment = (attempt: number) => makeWork({ target: 'staging' }, { event: 'deployment', environment: 'staging', number: attempt, attempt });
  const others = [await idOf(makeWork({}, { commit: 'c'.repeat(40) })), await idOf(deployment(1)), await idOf(deployment(2)), await idOf(deployment(2), other)];
  expect(new Set([first, ...others]).size).toBe(5);
  // What CI has built is what was pushed.
  const built = makeConfig((config) => {
    config.sources = [{ forge: 'hub', repository_id: '7', folder: 'db', event: 'workflow_run', branch: 'main', workflow: 'ci.yml', target: 'shop' }];
  });
  expect(await idOf(makeWork({}, { event: 'workflow_run', branch: 'main', workflow: '.github/workflows/ci.yml', number: 5 }), built)).toBe(first);
});

test('with the request goes whose head its commit is, and when the forge has said so: by that the database knows a branch that is set back', async () => {
  const proofOf = async (will: Will, work: ForgeWork) => (await take(will, work)).seen.drives[0]?.order.signature;
  expect(await proofOf({}, makeWork({}, { branch: 'main' }))).toMatchObject({
    repository_id: '7',
    commit: CHANGE.commit,
    ref: 'refs/heads/main',
    confirmed_at: '2026-03-04T12:00:00.000Z',
  });
  const config = makeConfig((config) => {
    config.environments = {};
    config.targets = { shop: { database: 'A', transport: 'tcp' } };
    config.sources = (config.sources as object[]).slice(0, 2);
  });
  const proposed = await proofOf({ config, confirmed: { branch: null, stale: null } }, makeWork({}, { event: 'pull_request', branch: 'main', number: 3 }));
  expect(Object.keys(proposed ?? {})).not.toContain('ref');
});

test('a commit that is overtaken while its files are fetched goes to no database, and is told as overtaken', async () => {
  const { progress, seen } = await take({ confirmedAgain: { stale: 'The head of "main" is another one by now.' } });
  expect(progress).toMatchObject({ finding: 'told', stale: 'The head of "main" is another one by now.', again_seconds: null });
  expect([seen.fetched, seen.drives]).toEqual([1, []]);
  expect(seen.told.map(({ state, title }) => [state, title])).toEqual([
    ['running', 'Deploying to shop'],
    ['neutral', 'Overtaken'],
  ]);
});

test('what was deployed before, and replaced by another deployment since, is told as that, and not as if it were there', async () => {
  const overtakenBy = '0190a0de-0000-7000-8000-00000000000c';
  const { progress, seen } = await take({ overtakenBy });
  expect(progress).toMatchObject({ finding: 'told', again_seconds: null });
  expect(seen.told.at(-1)).toMatchObject({ state: 'neutral', title: 'shop was deployed to shop before, and has been replaced since' });
  expect(seen.told.at(-1)?.text).toContain(overtakenBy);
  // What failed then has failed.
  expect((await take({ overtakenBy, end: { state: 'failed' } })).seen.told.at(-1)).toMatchObject({ state: 'failure' });
});

test('a commit that is not the head any more: nothing is fetched, nothing is told; but what was taken up before is', async () => {
  const confirmed = { stale: 'The head of "main" is another one by now.' };
  expect(await take({ confirmed })).toMatchObject({
    progress: { finding: 'stale', stale: confirmed.stale, again_seconds: null },
    seen: { fetched: 0, told: [], drives: [] },
  });
  const { progress, seen } = await take({ confirmed }, makeWork({ mode: 'apply', looks: 1 }));
  expect(progress.finding).toBe('told');
  expect(seen.told).toMatchObject([{ state: 'neutral', title: 'Overtaken', text: expect.stringContaining('another one by now') }]);
});

test('a webhook of old that comes while the forge does not answer is told nowhere either; one of which a try died, which may have told of it, is told its end', async () => {
  const stale = { confirmed: { stale: 'The head of "main" is another one by now.' } };
  const { progress } = await take({ confirmed: 'forge_unreachable' });
  expect(progress).toMatchObject({ finding: 'unreachable', work: { looks: 1 } });
  expect(await take(stale, progress.work)).toMatchObject({ progress: { finding: 'stale', again_seconds: null }, seen: { told: [] } });
  // What was confirmed once is told, though nothing was by then.
  const confirmed = await take({ fetch: 'forge_unreachable', isKept: false });
  expect(confirmed.seen.told).toEqual([]);
  expect((await take(stale, confirmed.progress.work)).seen.told).toMatchObject([{ state: 'neutral', title: 'Overtaken' }]);
  const { desk, seen } = makeDesk(stale);
  expect(await carryOut(desk, makeWork({ looks: 1 }), 1000, { isRepeated: true })).toMatchObject({ finding: 'told' });
  expect(seen.told).toMatchObject([{ state: 'neutral', title: 'Overtaken' }]);
});

test('the rules of the environment hold: by the branch that the forge has confirmed, and at their hours; nothing is fetched for what they refuse', async () => {
  const words = async (will: Will, work: ForgeWork) => {
    const { progress, seen } = await take(will, work);
    expect([progress.finding, seen.fetched, seen.drives]).toEqual(['told', 0, []]);
    return seen.told.at(-1)?.text;
  };
  expect(await words({}, makeWork({}, { branch: 'feature' }))).toContain('this comes from "feature"');
  // What is proposed for main does not come from main.
  const confirmed = { branch: null, stale: null };
  expect(await words({ confirmed }, makeWork({}, { event: 'pull_request', number: 3 }))).toContain('takes only what comes from "main"');
  const closed = makeConfig((config) => Object.assign((config.environments as { production: { hours: object } }).production.hours, { days: ['sun'] }));
  expect(await words({ config: closed }, makeWork())).toContain('takes deployments on sun');
});

test('a source, a forge or a target that the configuration has no more: nothing is asked', async () => {
  for (const work of [
    makeWork({ folder: 'other' }),
    makeWork({ forge: 'gone' }),
    makeWork({ target: 'staging' }),
    makeWork({}, { repository: { id: '8', name: 'x/y' } }),
  ]) {
    expect(await take({ confirmed: 'internal' }, work)).toMatchObject({
      progress: { finding: 'dropped', again_seconds: null, errors: [] },
      seen: { told: [] },
    });
  }
});

test('what has begun under a source that the configuration has no more is told to its end, by the name that it was begun with', async () => {
  const config = makeConfig((given) => {
    given.sources = [];
  });
  const { progress } = await take({ end: { state: 'running' } }, makeWork({}, { branch: 'main' }));
  const next = await take({ config, confirmed: 'internal', attended: { state: 'failed' } }, progress.work);
  expect(next).toMatchObject({ progress: { finding: 'told', state: 'failed', again_seconds: null }, seen: { over: [ID] } });
  expect(next.seen.told).toMatchObject([{ state: 'failure', name: 'weft: db to shop' }]);
  const unopened = { ...(await take({ fetch: 'forge_unreachable' })).progress.work, mode: 'rehearse' as const };
  const gone = await take({ config, confirmed: 'internal' }, unopened);
  expect(gone).toMatchObject({ progress: { finding: 'told', again_seconds: null }, seen: { fetched: 0, drives: [] } });
  expect(gone.seen.told).toMatchObject([{ state: 'neutral', name: 'weft rehearsal: db to shop', title: 'Not followed any more' }]);
  // Nor is it waited for where its target is gone.
  const elsewhere = makeConfig((given) => {
    given.targets = { staging: { database: 'B', transport: 'tcp' } };
    given.sources = [];
  });
  expect((await take({ config: elsewhere, attended: 'internal' }, progress.work)).seen.told).toMatchObject([{ state: 'neutral' }]);
});

test('a deployment may go on for as long as it likes: what was seen to go on is no failed try', async () => {
  let { work } = (await take({ end: { state: 'running' } })).progress;
  for (let looks = 0; looks < 40; looks++) ({ work } = (await take({ attended: { state: 'running' } }, work)).progress);
  expect((await take({ attended: 'session_lost' }, work)).progress).toMatchObject({ finding: 'unreachable', again_seconds: 3600 });
  expect((await take({ attended: {}, report: 'forge_unreachable' }, work)).progress).toMatchObject({ finding: 'untold', again_seconds: 3600 });
});

test.each([
  [{ confirmed: 'forge_unreachable' }],
  [{ fetch: 'forge_unreachable' }],
  [{ refused: 'database_unreachable' }],
  [{ refused: 'no_free_connection' }],
  [{ refused: 'interrupted' }],
] as [Will][])('what passes by itself is tried again, later each time, and given up at last: %o', async (will) => {
  for (const [looks, seconds] of [
    [0, 15],
    [1, 30],
    [18, 3600],
  ] as const) {
    expect((await take(will, makeWork({ looks }))).progress).toMatchObject({
      finding: 'unreachable',
      again_seconds: seconds,
      work: { looks: looks + 1, deployment: null },
    });
  }
  const { progress, seen } = await take(will, makeWork({ looks: LIMITS.forge_tries_count_max - 1 }));
  expect([progress.finding, progress.again_seconds, seen.told.at(-1)?.state]).toEqual(['told', null, 'failure']);
});

test.each(['invalid_bundle', 'not_utf8', 'too_large', 'forge_refused', 'malformed_tar', 'internal'] as const)(
  'what does not (%s) is told at once, at its line, without where the database is',
  async (fetch) => {
    const { progress, seen } = await take({ fetch });
    expect(progress).toMatchObject({ finding: 'told', again_seconds: null, errors: [{ slug: fetch }] });
    expect(seen.told.at(-1)).toMatchObject({ state: 'failure', remarks: [{ path: 'db/weft.yaml', line: 3, level: 'failure' }] });
    expect(JSON.stringify(seen.told)).not.toContain('db.internal.example');
  },
);

test.each(['database_authentication', 'id_conflict', 'secrets_missing', 'transaction_pooler', 'environment_rule'] as const)(
  'what the database or the engine refuses (%s) is told at once',
  async (refused) => {
    const { progress, seen } = await take({ refused });
    expect([progress.finding, seen.told.at(-1)?.state, seen.opened]).toEqual(['told', 'failure', []]);
  },
);

test('a deployment that is not over, or was lost sight of, is looked after by the next try, which opens none and asks the forge nothing', async () => {
  for (const will of [{ end: { state: 'running' } }, { lost: 'session_lost' }, { lost: 'holder_unknown' }, { lost: 'internal' }] as Will[]) {
    const { progress, seen } = await take(will);
    expect(progress).toMatchObject({ again_seconds: 15, work: { deployment: ID, looks: 1, reports: { check: '12' } } });
    expect(seen.told.map(({ state }) => state)).toEqual(['running']);
    const next = await take({ confirmed: 'internal', attended: { state: 'failed' } }, progress.work);
    expect(next).toMatchObject({ progress: { finding: 'told', state: 'failed' }, seen: { fetched: 0, drives: [], over: [ID] } });
    expect(next.seen.attended).toMatchObject([{ id: ID, target: 'shop', callers: ['hub', 'direct', 'undo:direct'] }]);
  }
});

test('a deployment that is not there any more, or lacks what only people can bring, is told', async () => {
  for (const attended of ['deployment_not_found', 'secrets_missing', 'engine_missing'] as const) {
    expect(await take({ attended }, makeWork({ deployment: ID, looks: 1 }))).toMatchObject({
      progress: { finding: 'told' },
      seen: { told: [{ state: 'failure' }] },
    });
  }
  expect((await take({ attended: 'database_unreachable' }, makeWork({ deployment: ID, looks: 1 }))).progress).toMatchObject({
    finding: 'unreachable',
    again_seconds: 30,
  });
});

test('a report that fails is made again from what is known, without a look at the database; one that is refused is not', async () => {
  const { progress, seen } = await take({ report: 'forge_unreachable' });
  expect(progress).toMatchObject({ finding: 'untold', state: 'succeeded', again_seconds: 15, work: { account: { state: 'success' } } });
  expect(seen.over).toEqual([ID]);
  const next = await take({ confirmed: 'internal', attended: 'internal' }, progress.work);
  expect(next).toMatchObject({ progress: { finding: 'told', again_seconds: null }, seen: { told: [{ state: 'success' }], attended: [], drives: [] } });
  expect((await take({ report: 'forge_refused' })).progress).toMatchObject({ finding: 'untold', again_seconds: null });
});

test('what is left to be told fits into a message of the queue', async () => {
  const steps = Array.from({ length: 60 }, (_, index) => ({
    path: `${index}.sql`,
    kind: 'run',
    state: 'failed' as const,
    milliseconds: 1,
    rows: null,
    statements: null,
    error: { sqlstate: 'P0001', message: '€'.repeat(9000) },
  }));
  const end = { state: 'degraded' as const, phases: [{ name: 'main', transaction: 'per-step', state: 'succeeded' as const, steps }] };
  const { progress } = await take({ end, report: 'forge_unreachable' });
  expect(new TextEncoder().encode(JSON.stringify(progress.work)).length).toBeLessThan(128_000);
});

const WAITING = {
  state: 'open' as const,
  approval: { environment: 'live', digest: 'd'.repeat(64), not_by: 'hub', asked_at: '2026-03-04T12:00:00Z', until: null, waits: true, by: null, at: null },
};

test('what is opened is owed to the forge, in the same moment, as long as a try may take; once told it is not', async () => {
  const { seen } = await take();
  const { owed } = seen.drives[0]?.order ?? {};
  expect(owed).toMatchObject({ key: expect.stringMatching(/^[0-9a-f]{64}$/), seconds: 61 });
  expect(JSON.parse(owed?.errand ?? '')).toEqual({ ...makeWork(), reports: { check: '12' }, mode: 'apply' });
  expect(seen.settled).toEqual([{ deployment: ID, key: owed?.key }]);
  expect(seen.taken).toEqual([]);
});

test.each([{ end: WAITING }, { end: { state: 'running' } }, { lost: 'session_lost' }] as Will[])(
  'what is not over is left to whoever sees it end, with what is known by then: %o',
  async (will) => {
    const { seen } = await take(will);
    expect(seen.settled).toMatchObject([{ deployment: ID, seconds: 0, errand: expect.stringContaining('"check":"12"') }]);
  },
);

test('what somebody else has told by then is not told again; what somebody else is about is looked at later', async () => {
  const work = makeWork({ deployment: ID, looks: 1 });
  expect(await take({ others: 'told' }, work)).toMatchObject({ progress: { finding: 'told', again_seconds: null }, seen: { told: [], settled: [] } });
  expect(await take({ others: 'about_it' }, work)).toMatchObject({ progress: { finding: 'at_work', again_seconds: 30 }, seen: { told: [] } });
  expect((await take({}, work)).seen).toMatchObject({ told: [{ state: 'success' }], settled: [{ deployment: ID }] });
  // Better twice than never.
  expect((await take({ others: 'unreachable' }, work)).seen.told).toMatchObject([{ state: 'success' }]);
});

test('what the forge did not take is owed on, for it or for whoever comes by; what it refuses is not', async () => {
  expect((await take({ report: 'forge_unreachable' })).seen.settled).toMatchObject([{ deployment: ID, seconds: 75 }]);
  expect((await take({ report: 'forge_unreachable', isKept: false })).seen.settled).toMatchObject([{ deployment: ID, seconds: 15 }]);
  const { settled } = (await take({ report: 'forge_refused' })).seen;
  expect(settled).toEqual([{ deployment: ID, key: expect.any(String) }]);
});

test('where nothing is taken up again by itself, nothing is told as begun before it is owed; and what the last try did not reach is told as failed', async () => {
  const states = ({ seen }: Awaited<ReturnType<typeof take>>) => seen.told.map(({ state }) => state);
  expect(states(await take({ isKept: false }))).toEqual(['running', 'success']);
  expect(states(await take({ isKept: false, refused: 'database_unreachable' }))).toEqual([]);
  const { desk, seen } = makeDesk({ isKept: false, refused: 'database_unreachable' });
  expect(await carryOut(desk, makeWork(), 1000, { isLast: true })).toMatchObject({ finding: 'told', again_seconds: null });
  expect(seen.told).toMatchObject([{ state: 'failure' }]);
});

test('what has to wait for a second person is told as that first, and not as begun', async () => {
  const config = makeConfig((config) => Object.assign((config.environments as { production: object }).production, { second_person: true }));
  const { seen } = await take({ config, end: WAITING });
  expect(seen.told.map(({ state }) => state)).toEqual(['waiting']);
});

const REVIEW = makeWork({}, { event: 'deployment_review', environment: 'live', branch: null, number: 9 });
const REVIEWED: Will = {
  config: makeConfig((config) => {
    (config.grants as { actions: string[] }[])[0]?.actions.push('approve');
    config.sources = [{ forge: 'hub', repository_id: '7', folder: 'db', event: 'deployment_review', environment: 'live', target: 'shop' }];
  }),
  confirmed: { branch: null, reviewers: ['2'], stale: null },
};
const waits = (deployment: string, caller = 'ci', actor: string | null = null): Waiting => ({ deployment, digest: `of ${deployment}`, caller, actor });

test('a review approves the newest that somebody else has opened, and nothing that the forge itself, or who reviews it, has', async () => {
  const approvedOf = async (...waiting: Waiting[]) => {
    const { seen, progress } = await take({ ...REVIEWED, waiting }, REVIEW);
    expect([progress.finding, seen.drives]).toEqual(['told', []]);
    return { ids: seen.approved.map(({ deployment, digest, caller }) => [deployment, digest, caller]), told: seen.told.at(-1) };
  };
  expect(await approvedOf(waits('b'), waits('a'))).toMatchObject({ ids: [['b', 'of b', 'hub']], told: { state: 'success' } });
  expect(await approvedOf(waits('b', 'hub'), waits('a'))).toMatchObject({ ids: [['a', 'of a', 'hub']] });
  expect(await approvedOf(waits('b', 'ci', '2'), waits('a', 'ci', '3'))).toMatchObject({ ids: [['a', 'of a', 'hub']] });
  expect(await approvedOf(waits('b', 'hub'))).toMatchObject({ ids: [], told: { state: 'neutral', title: 'Nothing was approved at shop' } });
  expect(await approvedOf(waits('b', 'ci', '2'))).toMatchObject({ ids: [], told: { state: 'neutral' } });
  expect(await approvedOf()).toMatchObject({ ids: [], told: { state: 'neutral' } });
  // Without the grant nothing is asked.
  const ungranted = makeConfig();
  expect((await take({ config: ungranted, waiting: [waits('a')] }, REVIEW)).seen.approved).toEqual([]);
});

test.each(['no_free_connection', 'database_unreachable', 'session_lost'] as const)(
  'an approval that was not committed (%s) is given by the next try, which asks the forge again',
  async (slug) => {
    const { desk, seen } = makeDesk({ ...REVIEWED, waiting: [waits(ID)], attended: WAITING, approvals: [['before', slug]] });
    const first = await carryOut(desk, REVIEW, 1000);
    expect(first).toMatchObject({ finding: 'unreachable', again_seconds: 15, work: { deployment: null } });
    expect([seen.approved, seen.opened]).toEqual([[], []]);
    expect(await carryOut(desk, first.work, 1000)).toMatchObject({ finding: 'told', again_seconds: null, work: { deployment: ID } });
    expect([seen.fetched, seen.attended]).toEqual([2, []]);
    expect(seen.approved).toMatchObject([{ deployment: ID, caller: 'hub' }]);
    expect(seen.told).toMatchObject([{ state: 'success' }]);
    // When the run is over by then, whoever has reviewed it is told so.
    const over = await take({ ...REVIEWED, confirmed: { stale: 'The run 9 is over.' }, waiting: [waits(ID)] }, first.work);
    expect(over.seen).toMatchObject({ approved: [], told: [{ state: 'neutral', title: 'Nothing was approved at shop' }] });
  },
);

test('what is approved is handed on as soon as that is committed, and looked after by the next try', async () => {
  const { desk, seen } = makeDesk({ ...REVIEWED, waiting: [waits(ID)], attended: { state: 'failed' }, approvals: [['behind', 'session_lost']] });
  const first = await carryOut(desk, REVIEW, 1000);
  expect(first).toMatchObject({ finding: 'unreachable', work: { deployment: ID, mode: 'approve' } });
  expect(seen.opened).toEqual([ID]);
  expect(await carryOut(desk, first.work, 1000)).toMatchObject({ finding: 'told', state: 'failed' });
  expect([seen.approved.length, seen.over]).toEqual([1, [ID]]);
  expect(seen.attended).toMatchObject([{ id: ID }]);
});

test('a review that comes again is of what it has approved, whatever else waits, and though the run is over since', async () => {
  for (const confirmed of [REVIEWED.confirmed, { stale: 'The run 9 is over.' }] as Confirmed[]) {
    const { desk, seen } = makeDesk({ ...REVIEWED, confirmed, approved: ID, waiting: [waits('b')] });
    expect(await carryOut(desk, { ...REVIEW, looks: 1 }, 1000, { isRepeated: true })).toMatchObject({ finding: 'told', state: 'succeeded' });
    expect(seen).toMatchObject({ fetched: 0, approved: [], opened: [ID], over: [ID], told: [{ state: 'success' }] });
    expect(seen.attended).toMatchObject([{ id: ID }]);
    expect(seen.asked).toEqual([['hub', expect.objectContaining({ event: 'deployment_review', folder: 'db', body_sha256: 'b'.repeat(64) })]]);
  }
  // One of old wakes no database.
  const { seen } = await take({ ...REVIEWED, confirmed: { stale: 'The run 9 is over.' }, approved: ID }, REVIEW);
  expect(seen).toMatchObject({ asked: [], attended: [], told: [] });
});

test('a review approves what has secrets, of which the source of the review has none', async () => {
  const parameters: Manifest['parameters'] = [{ name: 'token', type: 'text', required: true, secret: true }];
  expect((await take({ ...REVIEWED, parameters, waiting: [waits('a')] }, REVIEW)).seen.approved).toMatchObject([{ deployment: 'a' }]);
  const plain: Manifest['parameters'] = [{ name: 'size', type: 'text', required: true }];
  expect(await take({ ...REVIEWED, parameters: plain, waiting: [waits('a')] }, REVIEW)).toMatchObject({
    progress: { errors: [{ slug: 'invalid_parameters' }] },
    seen: { approved: [] },
  });
});

test('what waits is told as that once, and never behind its end', async () => {
  const config = makeConfig((config) => Object.assign((config.environments as { production: object }).production, { second_person: true }));
  const first = await take({ config, end: WAITING });
  const next = await take({ config, attended: WAITING }, first.progress.work);
  expect([next.progress.finding, next.seen.told]).toEqual(['waiting', []]);
  // The forge did not hear of it: it is told at the next look. Somebody approves it meanwhile, and has told its end when that arrives.
  const unheard = await take({ config, end: WAITING, report: 'forge_unreachable' });
  const { desk, seen } = makeDesk({ config, attended: WAITING });
  const client: ForgeClient = {
    ...(desk.forges.get('hub')?.client as ForgeClient),
    report: async (_change, account, reports) => {
      if (account.state === 'waiting') {
        Object.assign(desk, makeDesk({ config, others: 'told' }).desk, { forges: desk.forges });
        seen.told.push({ ...account, state: 'success' });
      }
      seen.told.push(account);
      return { reports, error: undefined };
    },
  };
  const forge = { ...(desk.forges.get('hub') as ForgeAtHand), client };
  const { finding } = await carryOut(Object.assign(desk, { forges: new Map([['hub', forge]]) }), unheard.progress.work, 1000);
  expect([finding, seen.told.map(({ state }) => state)]).toEqual(['told', ['success', 'waiting', 'success']]);
});
