/**
 * The identity token of the CI job that this runs in: where it comes from, and what audience it is requested for. GitHub and Azure make
 * one on request; GitLab has made it before the job began. The addresses are those that the runner puts into the environment; no other
 * address is called.
 */
import * as z from 'zod';
import { Problem } from '../domain/problem.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface IdentitySource {
  readonly kind: 'github' | 'gitlab' | 'azure';
  /** Whether it is one token for all that this command asks: then it counts for one document, whose bytes stay the same. */
  readonly isFixed: boolean;
  /** @param audience whom it should be for; only GitHub takes it into account @throws Problem set_up, worker_unreachable */
  makeToken(audience: string, signal: AbortSignal): Promise<string>;
}

const ASK_MS = 20_000;
const ANSWER_CHARACTERS_MAX = 100_000;
const tokenSchema = z.string().regex(/^eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/);

/**
 * @param env of this process
 * @returns where a token can be had; null where none is meant to be brought: outside of a job, and beside a secret without WEFT_IDENTITY=yes
 */
export function findIdentity(env: Environment): IdentitySource | null {
  const isWanted = !env.WEFT_SECRET || env.WEFT_IDENTITY === 'yes';
  if (env.WEFT_SERVICE_CONNECTION && env.SYSTEM_OIDCREQUESTURI) return azure(env);
  if (!isWanted) return null;
  if (env.WEFT_ID_TOKEN) return fixed(env.WEFT_ID_TOKEN);
  if (env.ACTIONS_ID_TOKEN_REQUEST_URL && env.ACTIONS_ID_TOKEN_REQUEST_TOKEN)
    return github(env.ACTIONS_ID_TOKEN_REQUEST_URL, env.ACTIONS_ID_TOKEN_REQUEST_TOKEN);
  return null;
}

/** @returns what a job lacks that has neither a secret nor a token; empty outside of a job */
export function adviseIdentity(env: Environment): string {
  if (env.GITHUB_ACTIONS === 'true') return ' In a job of GitHub Actions none is needed: give it "permissions: id-token: write".';
  if (env.GITLAB_CI === 'true')
    return ' In a job of GitLab CI none is needed: give it "id_tokens: { WEFT_ID_TOKEN: { aud: ORIGIN } }", with the origin of the Worker.';
  return '';
}

/** What a token says, for whoever has to find out why it was not accepted: nobody's secret, but not for a log either that strangers read. */
export function describeToken(token: string): string {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as Record<string, unknown>;
    const shown = [
      'iss',
      'aud',
      'sub',
      'repository_owner_id',
      'repository_id',
      'namespace_id',
      'project_id',
      'environment',
      'ref',
      'ref_type',
      'event_name',
      'pipeline_source',
    ];
    return shown.flatMap((claim) => (claims[claim] === undefined ? [] : [`${claim} ${JSON.stringify(claims[claim])}`])).join(', ');
  } catch {
    return 'nothing that can be read';
  }
}

/** @returns when a token expires, in milliseconds since 1970; null where it does not say */
export function expiryOf(token: string): number | null {
  try {
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as { exp?: unknown };
    return typeof exp === 'number' ? exp * 1000 : null;
  } catch {
    return null;
  }
}

function fixed(token: string): IdentitySource {
  return {
    kind: 'gitlab',
    isFixed: true,
    async makeToken() {
      if (!tokenSchema.safeParse(token).success)
        throw new Problem('set_up', 'WEFT_ID_TOKEN is no identity token: in GitLab it is filled by "id_tokens" of the job.');
      if ((expiryOf(token) ?? 0) <= Date.now()) {
        throw new Problem(
          'set_up',
          'WEFT_ID_TOKEN has expired: GitLab makes it when the job begins, to live as long as the timeout of the job. Run the job again.',
        );
      }
      return token;
    },
  };
}

function github(address: string, bearer: string): IdentitySource {
  return {
    kind: 'github',
    isFixed: false,
    async makeToken(audience, signal) {
      const url = readAddress(address, 'ACTIONS_ID_TOKEN_REQUEST_URL');
      url.searchParams.set('audience', audience);
      const { value } = await askRunner(
        'GitHub',
        url,
        { headers: { authorization: `Bearer ${bearer}`, accept: 'application/json' } },
        z.looseObject({ value: tokenSchema }),
        signal,
      );
      return value;
    },
  };
}

function azure({ SYSTEM_OIDCREQUESTURI: address = '', SYSTEM_ACCESSTOKEN: bearer, WEFT_SERVICE_CONNECTION: connection = '' }: Environment): IdentitySource {
  return {
    kind: 'azure',
    isFixed: false,
    async makeToken(_audience, signal) {
      if (!bearer) throw new Problem('set_up', 'SYSTEM_ACCESSTOKEN is not set: give the step "env: { SYSTEM_ACCESSTOKEN: $(System.AccessToken) }".');
      const url = readAddress(address, 'SYSTEM_OIDCREQUESTURI');
      url.searchParams.set('api-version', '7.1');
      url.searchParams.set('serviceConnectionId', connection);
      const init = { method: 'POST', headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' } };
      const { oidcToken } = await askRunner('Azure', url, init, z.looseObject({ oidcToken: tokenSchema }), signal);
      return oidcToken;
    },
  };
}

function readAddress(text: string, name: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isLocal = url?.protocol === 'http:' && url.hostname === '127.0.0.1';
  if (url === null || (url.protocol !== 'https:' && !isLocal))
    throw new Problem('set_up', `${name} is no address that a token can be asked of; the runner sets it.`);
  return url;
}

async function askRunner<T>(who: string, url: URL, init: RequestInit, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
  const timeout = AbortSignal.timeout(ASK_MS);
  let status: number;
  let text: string;
  try {
    const response = await fetch(url, { ...init, redirect: 'manual', signal: AbortSignal.any([signal, timeout]) });
    status = response.status;
    text = await response.text();
  } catch (error) {
    signal.throwIfAborted();
    throw new Problem('worker_unreachable', `${who} did not answer when it was asked for an identity token. The same command can be repeated.`, {}, error);
  }
  if (status >= 500 || status === 429)
    throw new Problem('worker_unreachable', `${who} answered ${status} when it was asked for an identity token. The same command can be repeated.`);
  const parsed = text.length > ANSWER_CHARACTERS_MAX ? null : schema.safeParse(parse(text));
  if (status !== 200 || !parsed?.success)
    throw new Problem('set_up', `${who} was asked for an identity token, and answered ${status} without one. May this job have one?`);
  return parsed.data;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
