/** `GET /`: one plain page for people who open the address in a browser. No scripts, nothing from elsewhere, nothing secret. */
import { createHash } from 'node:crypto';
import { Hono } from 'hono';
import type { HttpEnv } from '../context.ts';

const STYLE =
  'body{max-width:46rem;margin:3rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif;color-scheme:light dark}code{font-size:.9em}td{padding:.2rem 1rem .2rem 0;vertical-align:top}';

const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

const ROUTES = [
  ['POST /v1/targets/{target}/deployments', 'deploy: a signed JSON document, or a tar whose first entry is the signed request'],
  ['GET /v1/targets/{target}/deployments', 'the newest deployments'],
  ['GET /v1/targets/{target}/deployments/{id}', 'one deployment'],
  ['GET /v1/targets/{target}/deployments/{id}/events', 'follow it (server-sent events)'],
  ['POST /v1/targets/{target}/deployments/{id}/resume', 'go on with what was left unfinished'],
  ['POST /v1/targets/{target}/deployments/{id}/cancel', 'cancel it'],
  ['POST /v1/targets/{target}/deployments/{id}/undo', 'take it back'],
  ['GET /v1/targets/{target}/deployments/{id}/undo', 'what taking it back would run, and what has no undo'],
  ['GET /v1/targets/{target}/undo', 'the same for the newest one'],
  ['GET /v1/targets/{target}/deployments/{id}/changes', 'what of the catalog it has changed'],
  ['GET /v1/targets/{target}/deployments/{id}/receipt', 'how it ended, in bytes that never change'],
  ['GET /v1/targets/{target}/drift', 'what changed in this database outside of deployments'],
  ['POST /v1/targets/{target}/drift/accept', 'say that it is meant'],
  ['GET /v1/targets/{target}/history', 'what has been applied to this database'],
  ['POST /v1/targets/{target}/history/forget', 'say that nothing of a file that stopped half-way is there any more'],
  ['POST /v1/targets/{target}/plan', 'what the history has to say of a bundle'],
  ['GET /healthz', 'whether this Worker is set up; asks no database'],
] as const;

export function pageRoutes(version: string): Hono<HttpEnv> {
  const rows = ROUTES.map(([route, does]) => `<tr><td><code>${route}</code></td><td>${does}</td></tr>`).join('\n');
  const page = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Weft</title><style>${STYLE}</style></head>
<body>
<h1>Weft ${version}</h1>
<p>Weft deploys changes to PostgreSQL from inside PostgreSQL. A signed request reaches this address; the files are streamed into the database; everything after that is decided, executed and recorded there.</p>
<table>
${rows}
</table>
<p>What changes something is signed (Standard Webhooks). What reads needs a bearer token. Refusals are problem documents (RFC 9457).</p>
</body>
</html>
`;
  return new Hono<HttpEnv>().get('/', (c) => {
    c.header('content-security-policy', `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`);
    return c.html(page);
  });
}
