/** Refusals: each bad input has its own problem, status and sentence, and what the server says comes out spare. */
import { describe, expect, test } from 'vitest';
import { SqlError } from '../../src/database/session.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { PROBLEMS } from '../../src/domain/problem.ts';
import { BAD_INPUT } from './bad_input.ts';
import { DEPLOYMENTS, ID } from './requests.ts';
import { makeHouse, requests } from './support.ts';

describe('is refused before any session', () => {
  test.each(BAD_INPUT)('%s: %s', async (_name, slug, path, init) => {
    const house = makeHouse();
    const answer = await house.fetch(path, await init(requests));
    const problem = (await answer.json()) as Record<string, unknown>;
    expect(problem).toMatchObject({ type: `urn:weft:problem:${slug}`, title: PROBLEMS[slug].title, status: PROBLEMS[slug].status });
    expect(problem.detail).toMatch(/^.{20,}/);
    expect(answer.status).toBe(PROBLEMS[slug].status);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    if (answer.status === 401)
      expect(answer.headers.get('www-authenticate')).toMatch(slug.startsWith('read_') ? /^Bearer realm="weft"/ : /^Webhook realm="weft"/);
    expect(house.sessions.opened).toBe(0);
    expect(house.lines.at(-1)).toMatchObject({ message: 'request', problem: slug });
  });

  test('a limit is named', async () => {
    const document = requests.makeRequest({ files: [{ path: '1.sql', content: 'x'.repeat(LIMITS.inline_document_bytes) }] });
    const problem = (await (await makeHouse().fetch(DEPLOYMENTS, await requests.post(document))).json()) as Record<string, unknown>;
    expect(problem).toMatchObject({ limit: 'inline_document_bytes', limit_bytes: LIMITS.inline_document_bytes });
    expect(problem.detail).toContain('inline_document_bytes');
  });
});

describe('what the server says', () => {
  test.each([
    ['53300', 'no_free_connection'],
    ['53100', 'server_exhausted'],
    ['25006', 'read_only_server'],
    ['42501', 'role_without_rights'],
    ['3F000', 'engine_missing'],
    ['28P01', 'database_authentication'],
    ['57P01', 'session_lost'],
    ['42601', 'statement_failed'],
  ] as const)('%s becomes %s, without a word of its own', async (sqlstate, slug) => {
    const house = makeHouse({
      readStatus: async () => {
        throw new SqlError({ sqlstate, message: 'insert into customers values (secret)' });
      },
    });
    const answer = await house.fetch(`${DEPLOYMENTS}/${ID}`, { headers: await requests.bearer() });
    const text = await answer.text();
    expect(answer.status).toBe(PROBLEMS[slug].status);
    expect(JSON.parse(text)).toMatchObject({ type: `urn:weft:problem:${slug}`, sqlstate });
    expect(text).not.toContain('customers');
  });
});
