/**
 * From bindings to an app: the configuration `WEFT` and the secrets it names are parsed and checked here, once. What is wrong
 * with them is logged; a stranger only learns that something is.
 */
import type { Hono } from 'hono';
import packageFile from '../../package.json' with { type: 'json' };
import { type Config, parseConfig } from '../config/config.ts';
import { readSecrets, type Secrets } from '../config/secrets.ts';
import { connectTo } from '../database/connect.ts';
import { readChanges, readDeployments, readDrift, readEvents, readForesight, readHistory, readStatus, readUndoPlan } from '../database/engine.ts';
import { readReceipt } from '../database/receipts.ts';
import { cancel } from '../deployment/cancel.ts';
import { deploy } from '../deployment/deploy.ts';
import { resume } from '../deployment/resume.ts';
import { undo } from '../deployment/undo.ts';
import { Problem } from '../domain/problem.ts';
import { createApp, createUnconfiguredApp, type Surroundings } from '../http/app.ts';
import type { HttpEnv } from '../http/context.ts';
import { createLog } from './log.ts';
import { sleep } from './sleep.ts';

/** @param env the bindings: `WEFT`, and the secrets by their names */
export function setUp(env: Record<string, unknown>): Hono<HttpEnv> {
  const surroundings = { version: packageFile.version, now: () => Date.now(), sleep };
  try {
    const config = parseConfig(env.WEFT);
    return createConfiguredApp(config, readSecrets(config, env), surroundings);
  } catch (error) {
    const reason = error instanceof Problem ? error : new Problem('invalid_configuration', 'Reading the configuration failed unexpectedly.', {}, error);
    return createUnconfiguredApp(reason, { ...surroundings, log: createLog(null) });
  }
}

function createConfiguredApp(config: Config, secrets: Secrets, surroundings: Omit<Surroundings, 'log'>): Hono<HttpEnv> {
  return createApp({
    ...surroundings,
    config,
    callers: secrets.callers,
    log: createLog(secrets),
    connect({ name, transport, proxy, insecure }) {
      const connectionString = secrets.databases.get(name);
      if (connectionString === undefined) throw new Error('every target has its secret, or the configuration would have been refused');
      return connectTo({ connectionString, transport, ...(proxy === undefined ? {} : { proxy }), ...(insecure === undefined ? {} : { insecure }) });
    },
    deploy,
    resume,
    cancel,
    undo,
    readForesight,
    readUndoPlan,
    readStatus,
    readDeployments,
    readEvents,
    readHistory,
    readDrift,
    readChanges,
    readReceipt,
  });
}
