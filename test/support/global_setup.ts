/**
 * One PostgreSQL for a whole run of tests, started when the first test asks for it: a run that needs none starts none. Tests live in
 * processes of their own, so they ask over HTTP, at an address that holds a random word (the answer holds passwords).
 *
 * WEFT_TEST_DATABASE_URL names a server to use instead; WEFT_TEST_POSTGRES another version of the embedded one (14 to 18).
 */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { type Postgres, startPostgres } from '../../src/dev/postgres.ts';
import { POSTGRES_VERSIONS, type PostgresVersion } from '../../src/dev/postgres_binaries.ts';
import { installPostgres } from './versions.ts';

export interface TestServer {
  /** Of a role that is no superuser and may create databases and roles. */
  readonly url: string;
  /** Of the superuser; null on a server that was given. */
  readonly superuserUrl: string | null;
}

declare module 'vitest' {
  export interface ProvidedContext {
    testServerAddress: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  let server: Promise<{ postgres: Postgres | null; access: TestServer }> | undefined;
  const word = randomBytes(16).toString('hex');
  const desk = createServer((request, response) => {
    if (request.url !== `/${word}`) {
      response.writeHead(404).end();
      return;
    }
    server ??= startServer();
    server.then(
      ({ access }) => response.end(JSON.stringify(access)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => desk.listen(0, '127.0.0.1', resolve));
  project.provide('testServerAddress', `http://127.0.0.1:${(desk.address() as AddressInfo).port}/${word}`);
  return async () => {
    desk.close();
    await (await server?.catch(() => undefined))?.postgres?.stop();
  };
}

async function startServer(): Promise<{ postgres: Postgres | null; access: TestServer }> {
  const given = process.env.WEFT_TEST_DATABASE_URL;
  if (given) return { postgres: null, access: { url: given, superuserUrl: null } };
  const postgres = await startPostgres({ version: await chooseVersion() });
  const password = randomBytes(18).toString('base64url');
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  await client.query(`create role weft_test login createdb createrole password ${pg.escapeLiteral(password)}`);
  await client.end();
  const url = new URL(postgres.url);
  url.username = 'weft_test';
  url.password = password;
  return { postgres, access: { url: url.href, superuserUrl: postgres.url } };
}

async function chooseVersion(): Promise<PostgresVersion> {
  const wanted = process.env.WEFT_TEST_POSTGRES || '18';
  const version = POSTGRES_VERSIONS.find((known) => known === wanted);
  if (version === undefined) throw new Error(`WEFT_TEST_POSTGRES is "${wanted}"; it can be ${POSTGRES_VERSIONS.join(', ')}`);
  await installPostgres(version);
  return version;
}
