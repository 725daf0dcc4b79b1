import { expect, test } from 'vitest';
import { createLog } from '../../src/worker/log.ts';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const secrets = {
  databases: new Map([['shop', 'postgres://deployer:p%40ssw0rd-long@ep-cool-1.example.test/shop?sslmode=require']]),
  callers: [{ name: 'ci', secrets: [SECRET] }],
  forges: new Map(),
  sealingKey: `whsec_${Buffer.alloc(32, 8).toString('base64')}`,
};

function logged(entry: Record<string, unknown>, known: typeof secrets | null = secrets): string[] {
  const lines: string[] = [];
  createLog(known, { info: (line: string) => lines.push(line), error: (line: string) => lines.push(`error ${line}`) })({
    level: 'info',
    message: 'x',
    ...entry,
  });
  return lines;
}

test('an entry is one line of JSON', () => {
  expect(logged({ status: 200, note: 'two\nlines' })).toEqual(['{"level":"info","message":"x","status":200,"note":"two\\nlines"}']);
});

test('an error goes to where errors go', () => {
  expect(logged({ level: 'error' })[0]).toMatch(/^error \{/);
});

test.each([
  ['a connection string', 'connect postgres://deployer:p%40ssw0rd-long@ep-cool-1.example.test/shop?sslmode=require failed'],
  ['the host of a database', 'getaddrinfo ENOTFOUND ep-cool-1.example.test'],
  ['a password, decoded', 'role deployer with p@ssw0rd-long'],
  ['a password, as it is written', 'role deployer with p%40ssw0rd-long'],
  ['a signing secret', `key ${SECRET}`],
  ['a reading token', 'GET /?token=weft_read.eyJjYWxsZXIiOiJjaSJ9.c2lnbmF0dXJl'],
])('%s never appears, however deep', (_name, text) => {
  const [line = ''] = logged({ errors: [{ cause: { message: text } }] });
  expect(line).toContain('[hidden]');
  expect(line).not.toMatch(/ssw0rd|cool-1|c2lnbmF0dXJl|BwcHBw/);
});

test('tokens and signing secrets are hidden even where no configuration is known', () => {
  expect(logged({ text: `weft_read.a.b ${SECRET}` }, null)).toEqual(['{"level":"info","message":"x","text":"[hidden] [hidden]"}']);
});
