/**
 * The Worker's HTTP side: routes, and what surrounds them all. A route settles who asks and for what before anything below opens a
 * session; whatever it throws becomes a problem document; whatever it leaves of the body is drained.
 */
import { Hono } from 'hono';
import { Problem } from '../domain/problem.ts';
import { type HttpEnv, prepareRequests } from './context.ts';
import { setSecurityHeaders } from './headers.ts';
import { hearOut } from './hear_out.ts';
import { logRequests } from './log.ts';
import type { Ports } from './ports.ts';
import { answerProblem } from './problems.ts';
import { limitStrangers } from './rates.ts';
import { actRoutes } from './routes/act.ts';
import { deployRoutes } from './routes/deploy.ts';
import { eventRoutes } from './routes/events.ts';
import { healthRoutes } from './routes/health.ts';
import { openapiRoutes } from './routes/openapi.ts';
import { pageRoutes } from './routes/page.ts';
import { readRoutes } from './routes/read.ts';
import { webhookRoutes } from './routes/webhooks.ts';
import { wordRoutes } from './routes/word.ts';
import { UnprovedBytes } from './unproved.ts';

/** What an app needs in any case, also when there is no configuration. */
export type Surroundings = Pick<Ports, 'log' | 'now' | 'sleep' | 'version'>;

/** The app of a Worker whose configuration is valid. */
export function createApp(ports: Ports): Hono<HttpEnv> {
  const app = createFrame(ports);
  app.use('/v1/*', limitStrangers(ports.rates, 'api'));
  app.use('/webhooks/*', limitStrangers(ports.rates, 'webhooks'));
  app.route('/', pageRoutes(ports.version));
  app.route('/', openapiRoutes(ports));
  app.route('/', healthRoutes({ version: ports.version, configured: true }));
  const target = '/v1/targets/:target';
  app.route(target, deployRoutes(ports));
  app.route(target, actRoutes(ports));
  app.route(target, wordRoutes(ports));
  app.route(target, eventRoutes(ports));
  app.route(target, readRoutes(ports));
  app.route('/webhooks', webhookRoutes(ports));
  refuseOtherMethods(app);
  return app;
}

/**
 * The app of a Worker whose configuration is not valid: everything but /healthz is refused, and the reason goes to the log
 * alone, because it names keys and secrets of ours.
 * @param reason what is wrong with the configuration
 */
export function createUnconfiguredApp(reason: Problem, surroundings: Surroundings): Hono<HttpEnv> {
  const app = createFrame(surroundings);
  app.route('/', healthRoutes({ version: surroundings.version, configured: false }));
  app.all('*', (c) => {
    const { reference } = c.var.notes;
    const detail = `The Worker's log says what is wrong, under reference ${reference}. "weft config check" says it too. No database was asked.`;
    return answerProblem(c, new Problem('invalid_configuration', detail, { reference }, reason), surroundings.log);
  });
  return app;
}

function createFrame(surroundings: Surroundings): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.use(prepareRequests(new UnprovedBytes()), logRequests(surroundings.log, surroundings.now), setSecurityHeaders, hearOut(surroundings.sleep));
  app.onError((error, c) => answerProblem(c, error, surroundings.log));
  app.notFound((c) => answerProblem(c, new Problem('not_found', 'No route has this address. GET / lists them.'), surroundings.log));
  return app;
}

/** Answers 405 with Allow (RFC 9110, section 15.5.6) where an address exists and the method does not. */
function refuseOtherMethods(app: Hono<HttpEnv>): void {
  const methods = new Map<string, Set<string>>();
  for (const { path, method } of app.routes) {
    if (method === 'ALL') continue;
    const known = methods.get(path) ?? new Set();
    for (const name of method === 'GET' ? ['GET', 'HEAD'] : [method]) known.add(name);
    methods.set(path, known);
  }
  for (const [path, known] of methods) {
    const allow = [...known].sort().join(', ');
    app.all(path, (c) => {
      c.header('allow', allow);
      throw new Problem('method_not_allowed', `${c.req.method} is not taken here; ${allow} is.`, { allow });
    });
  }
}
