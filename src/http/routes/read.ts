/** What can be read of a target: one deployment, the newest ones, the history, what changed in the catalog, what an undo would run, and how many it takes to go back. One session each, closed at once. */
import { Hono } from 'hono';
import { accepts } from 'hono/accepts';
import { sha256 } from '../../bundle/chunks.ts';
import { describeIssues, joinIssues } from '../../config/issues.ts';
import { parseStrictJson } from '../../config/strict_json.ts';
import { foresightQuestionSchema } from '../../domain/foresight.ts';
import { LIMITS } from '../../domain/limits.ts';
import { Problem } from '../../domain/problem.ts';
import { deploymentIdSchema } from '../../domain/request.ts';
import { textSchema } from '../../domain/text.ts';
import { protectionOf } from '../../trust/rules.ts';
import type { HttpEnv } from '../context.ts';
import { lookAgainSeconds, renderDeploymentPage } from '../deployment_page.ts';
import { PAGE_POLICY } from '../page_style.ts';
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
      const document = await withSession(ports, target, (session) => ports.readStatus(session, deployment));
      c.header('vary', 'accept');
      if (accepts(c, { header: 'Accept', supports: ['application/json', 'text/html'], default: 'application/json' }) !== 'text/html') return c.json(document);
      const seconds = lookAgainSeconds(document);
      if (seconds !== null) c.header('refresh', String(seconds));
      c.header('content-security-policy', PAGE_POLICY);
      return c.html(renderDeploymentPage(document));
    })
    .get('/deployments/:id/undo', async (c) => {
      const { target, deployment = '' } = await acceptReader(c, ports);
      return c.json(await withSession(ports, target, (session) => ports.readUndoPlan(session, deployment)));
    })
    .get('/undo', async (c) => {
      const { target } = await acceptReader(c, ports);
      const bundle = readBundle(c.req.query('bundle'));
      return c.json(await withSession(ports, target, (session) => ports.readUndoPlan(session, null, bundle ?? null)));
    })
    .get('/later', async (c) => {
      const { target } = await acceptReader(c, ports);
      const id = readAfter(c.req.query('after'));
      return c.json(await withSession(ports, target, (session) => ports.readLater(session, id)));
    })
    .get('/deployments/:id/changes', async (c) => {
      const { target, deployment = '' } = await acceptReader(c, ports);
      return c.json(await withSession(ports, target, (session) => ports.readChanges(session, deployment)));
    })
    .get('/deployments/:id/receipt', async (c) => {
      const { target, deployment = '' } = await acceptReader(c, ports);
      const number = readNumber(c.req.query('number'));
      const text = await withSession(ports, target, (session) => ports.readReceipt(session, deployment, number));
      const bytes = new TextEncoder().encode(text);
      const tag = `"${await sha256(bytes)}"`;
      c.header('etag', tag);
      if (isKnown(c.req.header('if-none-match'), tag)) return c.body(null, 304);
      return c.body(bytes, 200, { 'content-type': 'application/json; charset=utf-8' });
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
      const foresight = await withSession(ports, target, (session) => ports.readForesight(session, parsed.data));
      const protection = protectionOf(ports.config, target);
      return c.json(protection === null ? foresight : { ...foresight, protection });
    })
    .get('/history', async (c) => {
      const { target } = await acceptReader(c, ports);
      const bundle = readBundle(c.req.query('bundle'));
      return c.json(await withSession(ports, target, (session) => ports.readHistory(session, bundle)));
    });
}

/** The bundle; a name that no bundle can have finds nothing, as far as a server accepts it. */
function readBundle(text: string | undefined): string | undefined {
  if (textSchema.optional().safeParse(text).success) return text;
  throw new Problem('invalid_request', '"bundle" is the name of a bundle, and holds a NUL.', { path: 'bundle' });
}

/** After which deployment. It is not part of the path, because a token for that one deployment must not read about others. */
function readAfter(text: string | undefined): string {
  const parsed = deploymentIdSchema.safeParse(text?.toLowerCase());
  if (parsed.success) return parsed.data;
  throw new Problem('invalid_request', '"after" is the id of a deployment: a UUID.', { path: 'after' });
}

/** Which receipt of a deployment; null: the newest. */
function readNumber(text: string | undefined): number | null {
  if (text === undefined) return null;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new Problem('invalid_request', `"number" is the number of a receipt, from 1 on, not "${text}".`, { path: 'number' });
}

/** RFC 9110, section 13.1.2: tags in a list, weak ones too, or all. */
function isKnown(tags: string | undefined, tag: string): boolean {
  return tags?.split(',').some((one) => ['*', tag].includes(one.trim().replace(/^W\//, ''))) ?? false;
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return LISTED_COUNT;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= LIMITS.deployments_listed_count_max) return limit;
  throw new Problem('invalid_request', `"limit" is a number from 1 to ${LIMITS.deployments_listed_count_max} (deployments_listed_count_max), not "${text}".`, {
    path: 'limit',
  });
}
