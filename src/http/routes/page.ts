/** `GET /`: one plain page for people who open the address in a browser. No scripts, nothing from elsewhere, nothing secret. */
import { Hono } from 'hono';
import type { HttpEnv } from '../context.ts';
import { OPERATIONS } from '../operations.ts';
import { PAGE_POLICY, pageHead } from '../page_style.ts';

export function pageRoutes(version: string): Hono<HttpEnv> {
  const rows = OPERATIONS.map(({ method, path, does }) => `<tr><td><code>${method.toUpperCase()} ${path}</code></td><td>${does}</td></tr>`).join('\n');
  const page = `${pageHead('Weft')}<body>
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
    c.header('content-security-policy', PAGE_POLICY);
    return c.html(page);
  });
}
