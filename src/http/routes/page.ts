/** `GET /`: one plain page for people who open the address in a browser. No scripts, nothing from elsewhere, nothing secret. */
import { createHash } from 'node:crypto';
import { Hono } from 'hono';
import type { HttpEnv } from '../context.ts';
import { OPERATIONS } from '../operations.ts';

const STYLE =
  'body{max-width:46rem;margin:3rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif;color-scheme:light dark}code{font-size:.9em}td{padding:.2rem 1rem .2rem 0;vertical-align:top}';

const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

export function pageRoutes(version: string): Hono<HttpEnv> {
  const rows = OPERATIONS.map(({ method, path, does }) => `<tr><td><code>${method.toUpperCase()} ${path}</code></td><td>${does}</td></tr>`).join('\n');
  const page = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Weft</title><style>${STYLE}</style></head>
<body>
<h1>Weft ${version}</h1>
<p>Weft deploys changes to PostgreSQL from inside PostgreSQL. A signed request reaches this address; the files are streamed into the database; everything after that is decided, executed and recorded there.</p>
<table>
${rows}
</table>
<p>What changes something is signed (Standard Webhooks), or comes with the identity token of a job. What reads needs a bearer token. Refusals are problem documents (RFC 9457).</p>
</body>
</html>
`;
  return new Hono<HttpEnv>().get('/', (c) => {
    c.header('content-security-policy', `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`);
    return c.html(page);
  });
}
