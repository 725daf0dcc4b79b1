import { expect, test } from 'vitest';
import { createHide, createLog } from '../../src/worker/log.ts';

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

test('a host without a dot is hidden where it stands as one, and in no other word or path', () => {
  const known = { ...secrets, databases: new Map([['shop', 'postgres://deployer:p%40ssw0rd-long@db:5432/shop']]) };
  const hide = createHide(known);
  for (const text of ['getaddrinfo ENOTFOUND db', 'connect to db:5432', 'tcp://db/shop', 'deployer@db/shop', 'Host: db. is not in the cert', 'host "DB"'])
    expect(hide(text), text).toMatch(/\[hidden\]/);
  for (const text of ['db/shop/1.sql', 'shop/db/1.sql', 'db.sql, line 7', 'my-db', 'dbs and adb', 'the table x_db']) expect(hide(text)).toBe(text);
});

test('an identity token is hidden, whole', () => {
  const token = `${Buffer.from('{"alg":"RS256"}').toString('base64url')}.${Buffer.from('{"sub":"x"}').toString('base64url')}.c2ln-_bmF0`;
  expect(createHide(null)(`the token ${token} is not accepted`)).toBe('the token [hidden] is not accepted');
});

test('tokens and signing secrets are hidden even where no configuration is known', () => {
  expect(logged({ text: `weft_read.a.b ${SECRET}` }, null)).toEqual(['{"level":"info","message":"x","text":"[hidden] [hidden]"}']);
});
