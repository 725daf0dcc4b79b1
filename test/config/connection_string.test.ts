import { describe, expect, it } from 'vitest';
import { isLocalHost, parseConnectionString } from '../../src/config/connection_string.ts';
import { problemOf } from './problems.ts';

describe('parse_connection_string', () => {
  it('takes all parts, percent-decoded', () => {
    expect(parseConnectionString('postgresql://de%40ploy:p%40%2F%3A%25ss@DB.example.com:6432/my%2Fshop?sslmode=verify-full&channel_binding=require')).toEqual({
      host: 'db.example.com',
      port: 6432,
      user: 'de@ploy',
      password: 'p@/:%ss',
      database: 'my/shop',
      sslmode: 'verify-full',
    });
  });

  it('fills in the port, and says null where nothing stands', () => {
    expect(parseConnectionString('postgres://deploy@127.0.0.1/shop')).toEqual({
      host: '127.0.0.1',
      port: 5432,
      user: 'deploy',
      password: null,
      database: 'shop',
      sslmode: null,
    });
  });

  it('takes an IPv6 address', () => {
    expect(parseConnectionString('postgres://u:p@[::1]:5433/d').host).toBe('::1');
  });

  it('takes the string that Neon shows', () => {
    const text = 'postgresql://owner:npg_x@ep-cool-darkness-123456.eu-central-1.aws.neon.tech/neondb?sslmode=require&channel_binding=require';
    expect(parseConnectionString(text).sslmode).toBe('require');
  });

  it.each([
    ['nothing', '', 'does not begin with'],
    ['another scheme', 'mysql://hunter2:hunter2@h/d', 'does not begin with'],
    ['words of libpq', 'host=hunter2 user=u', 'does not begin with'],
    ['a command for psql', "psql 'postgresql://u:hunter2@h/d'", 'the address alone, without "psql" or quotation marks'],
    ['quotation marks that a file has kept', '"postgres://u:hunter2@h/d"', 'the address alone, without "psql" or quotation marks'],
    ['a line break at the end', 'postgres://u:hunter2@h/d\n', 'white space'],
    ['neither host nor user', 'postgres:///hunter2', 'names no host'],
    ['no user', 'postgres://hunter2/d', 'names no user'],
    ['no host', 'postgres://u:hunter2@/d', 'is not a URI'],
    ['no database', 'postgres://u:hunter2@h', 'names no database'],
    ['an empty database', 'postgres://u:hunter2@h/', 'names no database'],
    ['a folder for a database', 'postgres://u:hunter2@h/d/e', 'more than a database name'],
    ['a bare # in the password', 'postgres://u:12#hunter2@h/d', 'holds a "#"'],
    ['a bare / in the password', 'postgres://u:12/hunter2@h/d', 'names no user'],
    ['a bare ? in the password', 'postgres://u:12?hunter2@h/d', 'names no user'],
    ['a bare % in the password', 'postgres://u:hunter2%zz@h/d', 'its password is not percent-encoded correctly'],
    ['a NUL in the user', 'postgres://u%00:hunter2@h/d', 'its user holds a NUL'],
    ['a port of letters', 'postgres://u:hunter2@h:port/d', 'is not a URI'],
    ['port 0', 'postgres://u:hunter2@h:0/d', 'port is 0'],
    ['port 65536', 'postgres://u:hunter2@h:65536/d', 'a port is a number up to 65535'],
    ['several hosts', 'postgres://u:hunter2@h1,h2/d', 'not one plain name'],
    ['a socket folder', 'postgres://u:hunter2@%2Fvar%2Frun/d', 'not one plain name'],
    ['an unknown sslmode', 'postgres://u:hunter2@h/d?sslmode=hunter2', 'sslmode is none of disable'],
    ['a host behind the question mark', 'postgres://u:hunter2@h/d?host=hunter2', 'a parameter that Weft does not use'],
    ['options', 'postgres://u:hunter2@h/d?options=-c%20hunter2=1', 'a parameter that Weft does not use'],
    ['a parameter that loosens TLS', 'postgres://u:hunter2@h/d?sslmode=require&uselibpqcompat=true', 'a parameter that Weft does not use'],
    ['sslmode twice', 'postgres://u:hunter2@h/d?sslmode=require&sslmode=disable', 'a parameter twice'],
  ])('refuses %s, and repeats no part of it', async (_name, text, reason) => {
    const problem = await problemOf(() => parseConnectionString(text));
    expect(problem.slug).toBe('connection_string_invalid');
    expect(problem.message).toContain(reason);
    expect(JSON.stringify(problem)).not.toContain('hunter2');
  });

  it.each([
    ['a host whose first label ends in -pooler', 'postgres://u:hunter2@ep-cool-123-pooler.hunter2.aws.neon.tech/d'],
    ['the same in capitals', 'postgres://u:hunter2@EP-COOL-123-POOLER.hunter2.aws.neon.tech/d'],
    ['the mark that Prisma sets', 'postgres://u:hunter2@h/d?pgbouncer=true'],
  ])('refuses a transaction pooler: %s', async (_name, text) => {
    const problem = await problemOf(() => parseConnectionString(text));
    expect(problem.slug).toBe('transaction_pooler');
    expect(problem.message).toContain('transaction pooler');
    expect(JSON.stringify(problem)).not.toContain('hunter2');
  });

  it('takes a host that has -pooler elsewhere', () => {
    expect(parseConnectionString('postgres://u:p@my-pooler-db.example.com/d').host).toBe('my-pooler-db.example.com');
    expect(parseConnectionString('postgres://u:p@db.a-pooler.com/d').host).toBe('db.a-pooler.com');
  });

  it('knows this machine', () => {
    expect(['localhost', '127.0.0.1', '::1', 'localhost.example.com', '10.0.0.1'].map(isLocalHost)).toEqual([true, true, true, false, false]);
  });
});
