/**
 * One PostgreSQL for a whole run of tests, started when the first test asks for it: a run that needs none starts none. Tests live in
 * processes of their own, so they ask over HTTP, at an address that holds a random word (the answer holds passwords). Where it comes
 * from is source.ts's business.
 */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestProject } from 'vitest/node';
import { makeRole, startServer } from './server.ts';
import { chooseSource, describeSkipped, type Source } from './source.ts';
import { sql } from './sql.ts';
import { copyClause, makeTemplate } from './template.ts';

export interface TestServer {
  /** Of a role that is no superuser and may create databases and roles. */
  readonly url: string;
  /** Of the superuser; null on a server that was given. */
  readonly superuserUrl: string | null;
  /** What stands behind `create database NAME` for one with the engine, and for an empty one (template.ts). */
  readonly copying: { readonly engine: string; readonly nothing: string };
}

declare module 'vitest' {
  export interface ProvidedContext {
    testServerAddress: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const source = chooseSource();
  const skipped = describeSkipped(source);
  if (skipped !== null) process.stderr.write(`${skipped}\n`);
  let provided: ReturnType<typeof provideServer> | undefined;
  const word = randomBytes(16).toString('hex');
  const desk = createServer((request, response) => {
    if (request.url !== `/${word}`) {
      response.writeHead(404).end();
      return;
    }
    provided ??= provideServer(source);
    provided.then(
      ({ access }) => response.end(JSON.stringify(access)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => desk.listen(0, '127.0.0.1', resolve));
  project.provide('testServerAddress', `http://127.0.0.1:${(desk.address() as AddressInfo).port}/${word}`);
  return async () => {
    desk.close();
    await (await provided?.catch(() => undefined))?.stop();
  };
}

interface Provided {
  readonly access: TestServer;
  stop(): Promise<void>;
}

async function provideServer(source: Source): Promise<Provided> {
  if (source.kind === 'given') {
    await checkRole(source.url);
    const template = await makeTemplate(source.url);
    return {
      access: { url: source.url, superuserUrl: null, copying: await copyClauses(source.url, template, false) },
      stop: async () => {
        await sql(source.url, `drop database if exists ${template}`);
      },
    };
  }
  const server = await startServer(source, { settings: { max_prepared_transactions: '20' } });
  const url = await makeRole(server, 'createdb createrole', randomBytes(18).toString('base64url'));
  return {
    access: { url, superuserUrl: server.url, copying: await copyClauses(url, await makeTemplate(url), source.kind === 'embedded') },
    stop: () => server.stop(),
  };
}

async function copyClauses(url: string, template: string, isForgetful: boolean): Promise<TestServer['copying']> {
  const [{ version }] = await sql(url, `select current_setting('server_version_num')::int as version`);
  return { engine: copyClause(template, version, isForgetful), nothing: copyClause(null, version, isForgetful) };
}

/** A role that may too little fails in many places, one that may too much proves too little: said once, and first. */
async function checkRole(url: string): Promise<void> {
  const [role] = await sql(url, 'select rolcreatedb, rolcreaterole, rolsuper from pg_roles where rolname = current_user');
  if (role.rolcreatedb && role.rolcreaterole && !role.rolsuper) return;
  throw new Error(
    "The role of WEFT_TEST_DATABASE_URL must be no superuser and may create databases and roles: create role weft_test login createdb createrole password '…'",
  );
}
