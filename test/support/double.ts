/**
 * What the doubles of GitLab and Azure DevOps have in common: a server that notes what it is asked, and fails once where a test says so. What is answered
 * otherwise is each one's own.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Answer = readonly [status: number, document: unknown, headers?: Record<string, string>];

/** What is answered once, to the first who asks for such a path. */
export interface Failure {
  readonly path: RegExp;
  readonly status: number;
  readonly headers?: Record<string, string>;
}

export interface Asked {
  readonly method: string;
  readonly url: URL;
  /** The body. */
  readonly text: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Answers with a document. */
  send(answer: Answer): unknown;
}

export interface Double {
  readonly origin: string;
  /** Methods and paths, in the order of the requests. */
  readonly asked: string[];
  fail(failure: Failure): void;
  stop(): Promise<void>;
}

/** @param answer ends the response */
export async function startDouble(answer: (asked: Asked) => unknown): Promise<Double> {
  const asked: string[] = [];
  const failures: Failure[] = [];
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://double.test');
    const { method = 'GET' } = request;
    asked.push(`${method} ${url.pathname}`);
    let text = '';
    for await (const part of request.setEncoding('utf8')) text += part;
    const send = ([status, document, headers = {}]: Answer) =>
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(document));
    const failure = failures.find(({ path }) => path.test(url.pathname));
    if (failure !== undefined) {
      failures.splice(failures.indexOf(failure), 1);
      return send([failure.status, { message: 'As the test has it' }, failure.headers ?? {}]);
    }
    return answer({ method, url, text, request, response, send });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    fail: (failure) => void failures.push(failure),
    stop: async () => {
      await new Promise((resolve) => server.close(resolve).closeAllConnections());
    },
  };
}
