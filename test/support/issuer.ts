/**
 * An issuer of identity tokens on this machine, with real keys: what GitHub, GitLab and Entra publish, at the addresses where they do, and tokens as
 * they make them. It counts who asks, and can fail in the ways that issuers do.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

export interface Issuer {
  /** http://127.0.0.1:port; the issuer of the paths below it. */
  readonly origin: string;
  /** Paths that were asked for. */
  readonly asked: string[];
  /** Puts an answer in place of the right one, for a path; null: the right one again. */
  answer(path: string, answer: ((response: ServerResponse) => void) | null): void;
  /** A new key beside the others, or in their place. @returns its name */
  addKey(o?: { readonly replace?: boolean; readonly publish?: boolean }): Promise<string>;
  /** A token with exactly these claims. */
  sign(
    claims: Readonly<Record<string, unknown>>,
    o?: { readonly kid?: string; readonly alg?: string; readonly header?: Readonly<Record<string, unknown>> },
  ): Promise<string>;
  /** Requests for a token, as a job makes them: what is asked, and what is answered. */
  onTokenRequest: ((url: URL, request: IncomingMessage) => Promise<{ status: number; body: unknown }>) | null;
  stop(): Promise<void>;
}

export async function startIssuer(): Promise<Issuer> {
  const pairs = new Map<string, Awaited<ReturnType<typeof generateKeyPair>>>();
  let published: JWK[] = [];
  const answers = new Map<string, (response: ServerResponse) => void>();
  const asked: string[] = [];
  let last = '';
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', `http://${request.headers.host}`);
    asked.push(url.pathname);
    const special = answers.get(url.pathname);
    if (special !== undefined) return special(response);
    const send = (status: number, body: unknown) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (url.pathname.endsWith('/.well-known/openid-configuration')) {
      const issuer = `${url.origin}${url.pathname.replace('/.well-known/openid-configuration', '')}`;
      return send(200, { issuer, jwks_uri: `${issuer}/discovery/v2.0/keys`, id_token_signing_alg_values_supported: ['RS256'] });
    }
    if (/\/(?:\.well-known\/jwks|oauth\/discovery\/keys|discovery\/v2\.0\/keys)$/.test(url.pathname)) return send(200, { keys: published });
    if (issuer.onTokenRequest !== null) {
      const { status, body } = await issuer.onTokenRequest(url, request);
      return send(status, body);
    }
    return send(404, { error: 'not found' });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const issuer: Issuer = {
    origin: `http://127.0.0.1:${port}`,
    asked,
    answer(path, answer) {
      if (answer === null) answers.delete(path);
      else answers.set(path, answer);
    },
    async addKey({ replace = false, publish = true } = {}) {
      const kid = `key-${pairs.size + 1}`;
      const pair = await generateKeyPair('RS256', { extractable: true });
      pairs.set(kid, pair);
      last = kid;
      const jwk: JWK = { ...(await exportJWK(pair.publicKey)), kid, use: 'sig', alg: 'RS256' };
      if (replace) published = [];
      if (publish) published = [...published, jwk];
      return kid;
    },
    async sign(claims, { kid = last, alg = 'RS256', header = {} } = {}) {
      const pair = pairs.get(kid) ?? pairs.get(last);
      if (pair === undefined) throw new Error('there is no key yet');
      return new SignJWT({ ...claims }).setProtectedHeader({ alg, kid, typ: 'JWT', ...header }).sign(pair.privateKey);
    },
    onTokenRequest: null,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  await issuer.addKey();
  return issuer;
}

const DAY_SECONDS = 24 * 60 * 60;

/** Claims of GitHub Actions, as of a push to main that deploys to production. */
export function githubClaims(issuer: string, audience: string, nowSeconds: number): Record<string, unknown> {
  return {
    iss: issuer,
    aud: audience,
    sub: 'repo:octo@9919/shop@123456789:environment:production',
    jti: crypto.randomUUID(),
    iat: nowSeconds - 5,
    nbf: nowSeconds - 5,
    exp: nowSeconds + 295,
    repository: 'octo/shop',
    repository_id: '123456789',
    repository_owner: 'octo',
    repository_owner_id: '9919',
    environment: 'production',
    ref: 'refs/heads/main',
    ref_type: 'branch',
    ref_protected: 'true',
    event_name: 'push',
    workflow_ref: 'octo/shop/.github/workflows/deploy.yml@refs/heads/main',
    job_workflow_ref: 'octo/shop/.github/workflows/deploy.yml@refs/heads/main',
    runner_environment: 'github-hosted',
    actor: 'mona',
    actor_id: '12',
    run_id: '777',
    run_attempt: '1',
    sha: 'a'.repeat(40),
  };
}

/** Claims of GitLab CI, as of a pipeline for main. */
export function gitlabClaims(issuer: string, audience: string, nowSeconds: number): Record<string, unknown> {
  return {
    iss: issuer,
    aud: audience,
    sub: 'project_path:octo/shop:ref_type:branch:ref:main',
    jti: crypto.randomUUID(),
    iat: nowSeconds - 5,
    nbf: nowSeconds - 10,
    exp: nowSeconds + 3600,
    namespace_id: '77',
    namespace_path: 'octo',
    project_id: '4711',
    project_path: 'octo/shop',
    pipeline_id: '31',
    pipeline_source: 'push',
    job_id: '32',
    ref: 'main',
    ref_type: 'branch',
    ref_protected: 'true',
    runner_environment: 'gitlab-hosted',
    sha: 'b'.repeat(40),
    user_login: 'mona',
  };
}

/** Claims of a service connection of Azure Pipelines. */
export function azureClaims(issuer: string, sub: string, nowSeconds: number): Record<string, unknown> {
  return { iss: issuer, aud: 'api://AzureADTokenExchange', sub, iat: nowSeconds - 5, nbf: nowSeconds - 5, exp: nowSeconds + 600, jti: crypto.randomUUID() };
}

/** Times that are wrong, each in its way. */
export const WRONG_TIMES = (now: number): Readonly<Record<string, readonly [claims: Readonly<Record<string, unknown>>, reason: string]>> => ({
  'has expired': [{ iat: now - 400, exp: now - 31 }, 'exp'],
  'never expires': [{ exp: undefined }, 'exp'],
  'expires when a text says': [{ exp: String(now + 60) }, 'exp'],
  'lives for days': [{ exp: now + 2 * DAY_SECONDS }, 'exp'],
  'is from the future': [{ iat: now + 60 }, 'iat'],
  'does not say when it was made': [{ iat: undefined }, 'iat'],
  'does not hold yet': [{ nbf: now + 60 }, 'nbf'],
});
