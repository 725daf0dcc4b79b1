/**
 * From bindings to an app: the configuration `WEFT` and the secrets it names are parsed and checked here, once. What is wrong with them
 * is logged; a stranger only learns that something is.
 */
import type { Hono } from 'hono';
import packageFile from '../../package.json' with { type: 'json' };
import { type Config, parseConfig } from '../config/config.ts';
import { readSecrets, type Secrets } from '../config/secrets.ts';
import { connectTo } from '../database/connect.ts';
import { readChanges, readDrift } from '../database/drift.ts';
import { readDeployments, readEvents, readForesight, readGlance, readHistory, readStatus } from '../database/engine.ts';
import { Gate, type GateOptions } from '../database/gate.ts';
import { settleOwed, takeOwed } from '../database/owed.ts';
import { readReceipt } from '../database/receipts.ts';
import type { Connect, Session } from '../database/session.ts';
import { readLater, readUndoPlan } from '../database/undo_plans.ts';
import { acceptDrift, findApproved, findWaiting, forget } from '../database/words.ts';
import { approve } from '../deployment/approve.ts';
import { attend } from '../deployment/attend.ts';
import { cancel } from '../deployment/cancel.ts';
import { deploy } from '../deployment/deploy.ts';
import { resume } from '../deployment/resume.ts';
import { undo } from '../deployment/undo.ts';
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import { connectForges } from '../forges/connect.ts';
import { createApp, createUnconfiguredApp, type Surroundings } from '../http/app.ts';
import type { HttpEnv } from '../http/context.ts';
import { describeError } from '../http/log.ts';
import type { Ports } from '../http/ports.ts';
import type { ChangeDesk } from '../operations/desk.ts';
import { createIssuerKeys } from '../trust/issuer_keys.ts';
import { createAftercare, createLookAgain } from './aftercare.ts';
import { readBindings, readTokenStore } from './bindings.ts';
import { createChangeTaker } from './changes.ts';
import { createHeldLooks } from './held_looks.ts';
import { createHide, createLog } from './log.ts';
import type { Caretaker } from './look_after.ts';
import { createRates, readRateLimits } from './rates.ts';
import { sleep } from './sleep.ts';
import { createTokenMemory } from './token_memory.ts';

export interface Weft {
  readonly app: Hono<HttpEnv>;
  /** For the queue and the schedule; null when the configuration is not valid, and the log says so. */
  readonly caretaker: Caretaker | null;
}

/** @param env the bindings: `WEFT`, the secrets by their names, and what `readBindings` looks for */
export function setUp(env: Record<string, unknown>): Weft {
  const surroundings = { version: packageFile.version, now: () => Date.now(), sleep };
  try {
    const config = parseConfig(env.WEFT);
    return createConfigured(config, readSecrets(config, env), surroundings, env);
  } catch (error) {
    const reason = error instanceof Problem ? error : new Problem('invalid_configuration', 'Reading the configuration failed unexpectedly.', {}, error);
    const log = createLog(null);
    log({ level: 'error', message: 'set_up', errors: describeError(reason) });
    return { app: createUnconfiguredApp(reason, { ...surroundings, log }), caretaker: null };
  }
}

function createConfigured(config: Config, secrets: Secrets, surroundings: Omit<Surroundings, 'log'>, env: Record<string, unknown>): Weft {
  const bindings = readBindings(env);
  const { sealingKey } = secrets;
  const log = createLog(secrets);
  const gates = makeGates({ sessions_max: LIMITS.sessions_per_target_max, wait_milliseconds_max: LIMITS.session_wait_seconds_max * 1000 });
  const lookers = {
    read: makeGates({ sessions_max: LIMITS.readings_per_target_max, wait_milliseconds_max: LIMITS.session_wait_seconds_max * 1000 }),
    follow: makeGates({ sessions_max: LIMITS.followers_per_target_max, wait_milliseconds_max: 0, refuse: tooManyFollow }),
  };
  const aftercare = createAftercare({ ...bindings, sealingKey, log, now: surroundings.now });
  const lookAgain = createLookAgain({ ...bindings, log, now: surroundings.now });
  const forges = connectForges(config, secrets, { ...surroundings, fetch: (input, init) => fetch(input, init) });
  const ports: Ports = {
    ...surroundings,
    config,
    callers: secrets.callers,
    findKey: createIssuerKeys({ fetch: (url, init) => fetch(url, init), now: surroundings.now }),
    rates: createRates({ ...readRateLimits(env), log, now: surroundings.now }),
    tokens: createTokenMemory({ store: readTokenStore(env), log, now: surroundings.now }),
    log,
    forges,
    changes: createChangeTaker(bindings.queue, () => desk, log, surroundings.sleep, lookAgain),
    ...(aftercare === undefined ? {} : { aftercare }),
    connect({ name, transport, proxy, insecure }, purpose) {
      const connectionString = secrets.databases.get(name);
      if (connectionString === undefined) throw new Error('every target has its secret, or the configuration would have been refused');
      const connect = connectTo({
        connectionString,
        transport,
        ...(proxy === undefined ? {} : { proxy }),
        ...(insecure === undefined ? {} : { insecure }),
        ...(purpose === undefined ? {} : { statementSecondsMax: LIMITS.reading_seconds_max }),
      });
      return purpose === undefined ? connect : lookers[purpose].limit(name, connect);
    },
    deploy: (options) => deploy({ ...options, connect: gates.limit(options.order.target, options.connect) }),
    resume: (options) => resume({ ...options, connect: gates.limit(options.target, options.connect) }),
    cancel,
    undo: (options) => undo({ ...options, connect: gates.limit(options.order.target, options.connect) }),
    approve: (options) => approve({ ...options, connect: gates.limit(options.target, options.connect) }),
    isCommitHeld: createHeldLooks(surroundings.now, surroundings.sleep),
    readForesight,
    readUndoPlan,
    readLater,
    readStatus,
    readGlance,
    readDeployments,
    readEvents,
    readHistory,
    readDrift,
    acceptDrift,
    forget,
    readChanges,
    readReceipt,
  };
  const desk: ChangeDesk = {
    config,
    forges,
    connect: ports.connect,
    deploy: ports.deploy,
    attend,
    findWaiting: (target, manifest, parameters) => withSession(ports.connect(target, 'read'), (session) => findWaiting(session, manifest, parameters)),
    findApproved: (target, caller, proof) => withSession(ports.connect(target, 'read'), (session) => findApproved(session, caller, proof)),
    approve: ports.approve,
    takeOwed: (target, what) => withSession(ports.connect(target, 'read'), (session) => takeOwed(session, what)),
    settleOwed: (target, settled) => withSession(ports.connect(target, 'read'), (session) => settleOwed(session, settled)),
    isKept: bindings.queue !== null,
    now: ports.now,
    hide: createHide(secrets),
    onOpened: async (target, deployment) => aftercare?.handOn(target, deployment, null),
    onOver: async (target, deployment) => aftercare?.strikeOut(target, deployment),
  };
  return { app: createApp(ports), caretaker: { ...bindings, ports, desk, sealingKey, attend, lookAgain } };
}

async function withSession<T>(connect: Connect, ask: (session: Session) => Promise<T>): Promise<T> {
  const session = await connect();
  try {
    return await ask(session);
  } finally {
    await session.close();
  }
}

function tooManyFollow(): Problem {
  return new Problem(
    'busy',
    `${LIMITS.followers_per_target_max} follow a deployment to this target already (followers_per_target_max), each with a connection, which others need as well. The deployment goes on. Ask for it from time to time, or follow it a little later.`,
    { limit: 'followers_per_target_max', limit_count: LIMITS.followers_per_target_max },
  );
}

/** One gate before each database. Those who deploy have one, those who read another; whoever cancels or approves finds room beside them. */
function makeGates(options: GateOptions): { limit(target: string | null, connect: Connect): Connect } {
  const gates = new Map<string | null, Gate>();
  return {
    limit(target, connect) {
      const gate = gates.get(target) ?? new Gate(options);
      gates.set(target, gate);
      return gate.limit(connect);
    },
  };
}
