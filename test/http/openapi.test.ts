/** The description of the API: valid by itself, and true to the routes. What is answered is held to it in test/worker/openapi.test.ts. */
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { describe, expect, test } from 'vitest';
import { PROBLEMS } from '../../src/domain/problem.ts';
import { OPERATIONS } from '../../src/http/operations.ts';
import { makeHouse } from './support.ts';

/** A page, a description and a word on its own health refuse nobody. */
const OPEN = ['operation-4xx-response'];

interface Described {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly operationId: string }>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, { readonly properties?: Readonly<Record<string, { readonly enum?: readonly string[] }>> }>>;
  };
}

async function fetchDescription(): Promise<{ text: string; document: Described }> {
  const answer = await makeHouse().fetch('/openapi.json');
  expect(answer.status).toBe(200);
  const text = await answer.text();
  return { text, document: JSON.parse(text) };
}

describe('GET /openapi.json', () => {
  test('is a document of OpenAPI 3.1 in which a linter finds nothing wrong', async () => {
    const { text, document } = await fetchDescription();
    expect(document.openapi).toMatch(/^3\.1\./);
    const config = await createConfig({ extends: ['recommended-strict'] });
    const found = (await lintFromString({ source: text, config })).map(({ ruleId, message, location }) => ({ ruleId, message, at: location[0]?.pointer }));
    expect(found.filter(({ ruleId }) => !OPEN.includes(ruleId))).toEqual([]);
    const refusing = found.filter(({ ruleId }) => OPEN.includes(ruleId)).map(({ at }) => at?.split('/')[2]?.replaceAll('~1', '/'));
    expect(refusing.sort()).toEqual(OPERATIONS.flatMap(({ proof, path }) => (proof === 'none' ? [path] : [])).sort());
  });

  test('has every route, and no other', async () => {
    const { document } = await fetchDescription();
    const described = Object.entries(document.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
    const routes = makeHouse().app.routes.flatMap(({ method, path }) => (method === 'ALL' ? [] : [`${method} ${path.replace(/:(\w+)/g, '{$1}')}`]));
    expect(described.sort()).toEqual([...new Set(routes)].sort());
  });

  test('names every problem that can be answered', async () => {
    const { document } = await fetchDescription();
    expect(document.components.schemas.Problem?.properties?.type?.enum).toEqual(Object.keys(PROBLEMS).map((slug) => `urn:weft:problem:${slug}`));
  });

  test('needs no proof, and opens no session', async () => {
    const house = makeHouse();
    expect((await house.fetch('/openapi.json')).headers.get('content-type')).toBe('application/json');
    expect(house.sessions.opened).toBe(0);
  });
});

test('the page for people lists the same', async () => {
  const page = await (await makeHouse().fetch('/')).text();
  for (const { method, path, does } of OPERATIONS) expect(page).toContain(`<code>${method.toUpperCase()} ${path}</code></td><td>${does}</td>`);
});
