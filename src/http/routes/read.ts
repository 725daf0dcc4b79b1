/** What can be read of a target: one deployment, the newest ones, the history, what changed in the catalog, and what an undo would run. One session each, closed at once. */
import { Hono } from 'hono';
import { describeIssues, joinIssues } from '../../config/issues.ts';
import { parseStrictJson } from '../../config/strict_json.ts';
import { foresightQuestionSchema } from '../../domain/foresight.ts';
import { LIMITS } from '../../domain/limits.ts';
import { Problem } from '../../domain/problem.ts';
import type { HttpEnv } from '../context.ts';
import type { Ports } from '../ports.ts';
import { acceptReader, withSession } from '../reading.ts';

/** Deployments in a listing that says no `limit`. */
const LISTED_COUNT = 20;

export function readRoutes(ports: Ports): Hono<HttpEnv> {
  return new Hono<HttpEnv>()
    .get('/deployments', async (c) => {
      const { target } = await acceptReader(c, ports);
      const limit = readLimit(c.req.query('limit'));
      return c.json({ deployments: await withSession(ports, target, (session) => ports.readDeployments(session, limit)) });
    })
    .get('/deployments/:id', async (c) => {
      const { target, deployment = '' } = await acceptReader(c, ports);
      return c.json(await withSession(ports, target, (session) => ports.readStatus(session, deployment)));
    })
    .get('/deployments/:id/undo', async (c) => {
      const { target, deployment = '' } = await acceptReader(c, ports);
      return c.json(await withSession(ports, target, (session) => ports.readUndoPlan(session, deployment)));
    })
    .get('/undo', async (c) => {
      const { target } = await acceptReader(c, ports);
      return c.json(await withSession(ports, target, (session) => ports.readUndoPlan(session, null, c.req.query('bundle') ?? null)));
    })
    .get('/deployments/:id/changes', async (c) => {
      const { target, deployment = '' } = await acceptReader(c, ports);
      return c.json(await withSession(ports, target, (session) => ports.readChanges(session, deployment)));
    })
    .get('/drift', async (c) => {
      const { target } = await acceptReader(c, ports);
      return c.json(await withSession(ports, target, (session) => ports.readDrift(session)));
    })
    .post('/plan', async (c) => {
      const { target } = await acceptReader(c, ports);
      const body = await c.var.body.readAll('inline_document_bytes', 'Leave contents out of "texts": less is told then.');
      const parsed = foresightQuestionSchema.safeParse(parseStrictJson(body));
      if (!parsed.success) throw new Problem('invalid_request', joinIssues(describeIssues(parsed.error.issues)));
      return c.json(await withSession(ports, target, (session) => ports.readForesight(session, parsed.data)));
    })
    .get('/history', async (c) => {
      const { target } = await acceptReader(c, ports);
      const bundle = c.req.query('bundle');
      return c.json(await withSession(ports, target, (session) => ports.readHistory(session, bundle)));
    });
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return LISTED_COUNT;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= LIMITS.deployments_listed_count_max) return limit;
  throw new Problem('invalid_request', `"limit" is a number from 1 to ${LIMITS.deployments_listed_count_max} (deployments_listed_count_max), not "${text}".`, {
    path: 'limit',
  });
}
