/**
 * Speaks HTTP with one Worker: only with the origin that was configured, never following a redirect. Answers are parsed
 * where they enter; a problem document becomes a Problem again. What is asked is for remote.ts.
 */
import type * as z from 'zod';
import { PROBLEMS, Problem, type ProblemFacts, type ProblemSlug } from '../domain/problem.ts';
import { oneLine } from '../words/text.ts';

/** An answer may be a deployment of 20,000 steps; more than this is none of ours. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const PROBLEM_TYPE = 'urn:weft:problem:';

export interface Outgoing {
  readonly method: 'GET' | 'POST';
  /** From the root of the origin, `/v1/…`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  readonly signal: AbortSignal;
  /** Milliseconds until the answer must be there. */
  readonly timeoutMs: number;
}

export interface Answer<T> {
  readonly status: number;
  readonly document: T;
  /** Where the deployment can be read, on the same origin. */
  readonly location: URL | null;
}

/**
 * @param origin scheme, host and port
 * @param schema what the answer must be
 * @throws Problem worker_unreachable when there is no answer or none of a Weft; whatever problem the Worker answers with
 */
export async function ask<T>(origin: string, outgoing: Outgoing, schema: z.ZodType<T>): Promise<Answer<T>> {
  const response = await send(origin, outgoing);
  const value = parse(await readText(response));
  if (!response.ok) throw problemFrom(response, value);
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw new Problem(
      'invalid_configuration',
      `The address answered ${response.status}, but not as a Weft Worker of this version does. Check the address (--to, WEFT_URL), and the version at /healthz.`,
    );
  }
  return { status: response.status, document: parsed.data, location: readLocation(origin, response) };
}

/**
 * The same, of what is read as it stands: its text, which may be all that counts.
 * @throws Problem as `ask` does
 */
export async function askForBytes(origin: string, outgoing: Outgoing): Promise<string> {
  const response = await send(origin, outgoing);
  const text = await readText(response);
  if (!response.ok) throw problemFrom(response, parse(text));
  return text;
}

async function send(origin: string, outgoing: Outgoing): Promise<Response> {
  const url = new URL(outgoing.path, origin);
  if (url.origin !== origin) throw new Error('a path leads away from the origin');
  const timeout = AbortSignal.timeout(outgoing.timeoutMs);
  try {
    const response = await fetch(url, {
      method: outgoing.method,
      redirect: 'manual',
      signal: AbortSignal.any([outgoing.signal, timeout]),
      headers: { accept: 'application/json, application/problem+json', ...outgoing.headers },
      ...(outgoing.body === undefined ? {} : { body: outgoing.body, duplex: 'half' }),
    } as RequestInit);
    if (response.status >= 300 && response.status < 400) {
      throw new Problem(
        'invalid_configuration',
        `The Worker's address answers with a redirect (${response.status}). Redirects are not followed: what is signed is meant for one address. Use the address it really has.`,
      );
    }
    return response;
  } catch (error) {
    if (error instanceof Problem) throw error;
    outgoing.signal.throwIfAborted();
    // A body of our own that broke off (a file changed while it was read) has its reason in it.
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) if (cause instanceof Problem) throw cause;
    throw unreachable(timeout.aborted ? `It did not answer within ${outgoing.timeoutMs / 1000} s.` : reasonOf(error), error);
  }
}

async function readText(response: Response): Promise<string> {
  const announced = Number(response.headers.get('content-length') ?? 0);
  try {
    if (announced > ANSWER_BYTES_MAX) throw new Error('the answer is too large');
    return await response.text();
  } catch (error) {
    throw unreachable('Its answer broke off.', error);
  }
}

/** @returns undefined where it is no JSON */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The problem that an answer carries; a Problem all the same when it carries none. */
function problemFrom(response: Response, value: unknown): Problem {
  const members = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const { type, title, status: _, detail, ...rest } = members;
  if (typeof type === 'string' && type.startsWith(PROBLEM_TYPE) && typeof detail === 'string') {
    const slug = type.slice(PROBLEM_TYPE.length);
    const facts: Record<string, ProblemFacts[string]> = {};
    for (const [name, fact] of Object.entries(rest)) if (isFact(fact)) facts[name] = fact;
    const retryAfter = Number(response.headers.get('retry-after'));
    if ((response.status === 503 || response.status === 429) && retryAfter > 0) facts.retry_after_seconds = retryAfter;
    if (Object.hasOwn(PROBLEMS, slug)) return new Problem(slug as ProblemSlug, detail, facts);
    return new Problem(response.status >= 500 ? 'internal' : 'invalid_request', `${oneLine(String(title ?? slug))} ${detail}`, facts);
  }
  const passes = response.status >= 500 || response.status === 429 || response.status === 408;
  if (passes) return unreachable(`Something on the way answered ${response.status}, and not as a Weft Worker does.`);
  return new Problem('invalid_configuration', `The address answered ${response.status}, and not as a Weft Worker does. Check the address (--to, WEFT_URL).`);
}

function isFact(value: unknown): value is ProblemFacts[string] {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value) || (Array.isArray(value) && value.every((item) => typeof item === 'string'));
}

function readLocation(origin: string, response: Response): URL | null {
  const location = response.headers.get('location');
  if (location === null || !URL.canParse(location, origin)) return null;
  const url = new URL(location, origin);
  return url.origin === origin ? url : null;
}

function unreachable(detail: string, cause?: unknown): Problem {
  return new Problem('worker_unreachable', `${detail} What runs in the database goes on without it; the same command can be repeated.`, {}, cause);
}

/** Node's own word for what happened to a connection, such as ECONNREFUSED; never the whole message, which may hold more. */
function reasonOf(error: unknown): string {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (typeof code === 'string' && /^[A-Z0-9_]+$/.test(code)) return `There is no connection to it (${code}).`;
  }
  return 'The connection to it broke.';
}
