/**
 * Requests to the API of a forge: only to the address of the configuration, with time-outs and with answers of bounded size. Redirects
 * are followed in two cases only: within that API, where a forge leads from old names to new ones; and for an archive, to the one other
 * origin that is configured, without our credentials. A forge's refusal is reported by its status and its own message, never with an
 * address: those of archives contain tokens.
 */
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';

export type Fetch = (input: string, init: RequestInit) => Promise<Response>;

export interface AskingOptions {
  /** What the forge is called, for people. */
  readonly title: string;
  /** The root of its API, without "/" at its end. */
  readonly api: string;
  /** The origin that an archive may come from. */
  readonly archives: string;
  /** Whether the API leads from the name that something had before to where it is now; elsewhere a redirect is an answer to whom it does not know. */
  readonly leadsOn?: boolean;
  /** Sent with every request to the API. */
  readonly headers: Readonly<Record<string, string>>;
  /** Since when on asking makes sense again, of a refusal because of too many requests; null when it is another refusal. In seconds from now. */
  readRetry(answer: Response, message: string): number | null;
  readonly fetch: Fetch;
}

export interface Question {
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** From the root of the API on, with each part encoded. */
  readonly path: string;
  /** What proves us. */
  readonly authorization: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** The media type of the answer, if it differs from the usual one. */
  readonly accept?: string;
}

export class Asking {
  readonly #options: AskingOptions;

  constructor(options: AskingOptions) {
    this.#options = options;
  }

  /** The root of the API. */
  get api(): string {
    return this.#options.api;
  }

  /**
   * @returns the document, and null for 404
   * @throws Problem forge_unreachable for what passes by itself; forge_refused
   */
  async askIfThere(question: Question): Promise<unknown> {
    const answer = await this.#sendOn(question, AbortSignal.timeout(LIMITS.forge_seconds_max * 1000));
    if (answer.status === 404) {
      await answer.body?.cancel();
      return null;
    }
    return this.#read(question, answer);
  }

  /** @throws Problem forge_unreachable for what passes by itself; forge_refused, also for 404 */
  async ask(question: Question): Promise<unknown> {
    return this.#read(question, await this.#sendOn(question, AbortSignal.timeout(LIMITS.forge_seconds_max * 1000)));
  }

  /**
   * The bytes of an archive, from wherever the forge says that they are.
   * @throws Problem as `ask` does; forge_refused for a redirect to anywhere else
   */
  async openArchive(question: Question): Promise<ReadableStream<Uint8Array>> {
    const signal = AbortSignal.timeout(LIMITS.archive_seconds_max * 1000);
    const { api, archives } = this.#options;
    let answer = await this.#send(question, signal);
    let from = `${api}${question.path}`;
    for (let hops = 0; answer.status >= 300 && answer.status < 400; hops++) {
      const to = answer.headers.get('location');
      await answer.body?.cancel();
      const url = to !== null && URL.canParse(to, from) ? new URL(to, from) : null;
      if (url === null || (url.origin !== archives && url.origin !== new URL(api).origin) || url.username !== '' || hops >= LIMITS.archive_redirects_count) {
        throw this.#refused(question, `it led to ${url === null ? 'nowhere' : url.origin}, and archives are fetched from ${archives} alone`);
      }
      from = url.href;
      const isSameOrigin = url.origin === new URL(api).origin;
      answer = await this.#fetch(from, { method: 'GET', headers: this.#headersOf(isSameOrigin ? question.authorization : null), signal });
    }
    if (!answer.ok || answer.body === null) throw await this.#problemOf(question, answer);
    return answer.body as ReadableStream<Uint8Array>;
  }

  /** As `#send`, and once more, verbatim, where the API leads on within itself. */
  async #sendOn(question: Question, signal: AbortSignal): Promise<Response> {
    const answer = await this.#send(question, signal);
    const isLedOn =
      answer.status === 307 || answer.status === 308 || ((answer.status === 301 || answer.status === 302) && (question.method ?? 'GET') === 'GET');
    const path = isLedOn && this.#options.leadsOn === true ? this.#pathWithin(answer.headers.get('location')) : null;
    if (path === null) return answer;
    await answer.body?.cancel();
    return this.#send({ ...question, path }, signal);
  }

  /** The path from the root of the API on; null for an address that is none of it. */
  #pathWithin(address: string | null): string | null {
    const { api } = this.#options;
    const href = address !== null && URL.canParse(address) ? new URL(address).href : '';
    return href.startsWith(`${api}/`) ? href.slice(api.length) : null;
  }

  #send({ method = 'GET', path, authorization, body, accept }: Question, signal: AbortSignal): Promise<Response> {
    const headers = { ...this.#headersOf(authorization), ...(accept === undefined ? {} : { accept }) };
    const json = body === undefined ? {} : { body: JSON.stringify(body) };
    return this.#fetch(`${this.#options.api}${path}`, {
      method,
      headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
      signal,
      ...json,
    });
  }

  async #fetch(address: string, init: RequestInit): Promise<Response> {
    try {
      return await this.#options.fetch(address, { ...init, redirect: 'manual' });
    } catch (error) {
      throw this.#unreachable('did not answer', error);
    }
  }

  #headersOf(authorization: string | null): Record<string, string> {
    return { ...this.#options.headers, ...(authorization === null ? {} : { authorization }) };
  }

  async #read(question: Question, answer: Response): Promise<unknown> {
    if (!answer.ok) throw await this.#problemOf(question, answer);
    const text = await this.#readText(answer);
    if (answer.status === 204 || text === '') return {};
    try {
      return JSON.parse(text);
    } catch (error) {
      throw this.#refused(question, 'its answer is no JSON', answer.status, error);
    }
  }

  async #readText(answer: Response): Promise<string> {
    const decoder = new TextDecoder();
    let text = '';
    let bytes = 0;
    try {
      for await (const part of (answer.body ?? new Blob([]).stream()) as unknown as AsyncIterable<Uint8Array>) {
        bytes += part.length;
        if (bytes > LIMITS.forge_answer_bytes)
          throw new Problem('forge_refused', `${this.#options.title} has answered with more than ${LIMITS.forge_answer_bytes} bytes (forge_answer_bytes).`);
        text += decoder.decode(part, { stream: true });
      }
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw this.#unreachable('broke its answer off', error);
    }
    return text + decoder.decode();
  }

  async #problemOf(question: Question, answer: Response): Promise<Problem> {
    const { status } = answer;
    const message = messageOf(await this.#readText(answer).catch(() => ''));
    const seconds = this.#options.readRetry(answer, message);
    if (seconds !== null || status >= 500) {
      const what = seconds === null ? `answered with status ${status}` : `takes no more requests for now (status ${status})`;
      return this.#unreachable(what, undefined, Math.min(seconds ?? 0, LIMITS.forge_retry_seconds_max));
    }
    return this.#refused(question, message === '' ? `status ${status}` : `status ${status}, "${message}"`, status);
  }

  #unreachable(what: string, cause?: unknown, retry_after_seconds = 0): Problem {
    const detail = `${this.#options.title} ${what}. Nothing of the database was changed because of that; it is tried again.`;
    return new Problem('forge_unreachable', detail, retry_after_seconds > 0 ? { retry_after_seconds } : {}, cause);
  }

  #refused({ method = 'GET', path }: Question, why: string, status: number | null = null, cause?: unknown): Problem {
    const facts = status === null ? {} : { status_of_forge: status };
    return new Problem('forge_refused', `${this.#options.title} refused ${method} ${path.replace(/\?.*$/, '')}: ${why}.`, facts, cause);
  }
}

/**
 * @param reset of a header: seconds since 1970, when asking makes sense again
 * @param now milliseconds since 1970
 * @returns seconds from now; a minute where nothing is said
 */
export function secondsUntil(reset: string | null, now: number): number {
  return reset !== null && /^\d{1,12}$/.test(reset) ? Math.max(1, Number(reset) - Math.floor(now / 1000)) : 60;
}

/** The message that an error's document has, a short one. */
function messageOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === 'string' ? message.replace(/[^\x20-\x7e]/g, ' ').slice(0, 200) : '';
  } catch {
    return '';
  }
}
