/**
 * A parsed connection string (PostgreSQL manual, 34.1.1.2, Connection URIs), as far as Weft uses it. Only what is understood is
 * accepted: drivers let parameters after "?" override host, user and time-outs silently. No part of the text is ever repeated in a
 * refusal: if it is malformed, any part may be the password.
 */
import { Problem } from '../domain/problem.ts';

export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

export interface ConnectionParts {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string | null;
  readonly database: string;
  /** null: the text does not say. */
  readonly sslmode: SslMode | null;
}

const SSL_MODES: readonly string[] = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] satisfies SslMode[];
const PARAMETERS: readonly string[] = ['sslmode', 'channel_binding', 'connect_timeout'];

/**
 * @param text `postgres://user:password@host:port/database?sslmode=require`
 * @returns its parts, percent-decoded; the host in lower case, an IPv6 address without its brackets
 * @throws Problem connection_string_invalid; transaction_pooler when the host says that it is one. Neither repeats any part of the text
 */
export function parseConnectionString(text: string): ConnectionParts {
  if (!/^postgres(?:ql)?:\/\//.test(text))
    refuse('it does not begin with "postgres://" or "postgresql://"; what is asked for is the address alone, without "psql" or quotation marks before it');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the URL parser would drop them without a word
  if (/[\s\u0000-\u001f\u007f]/.test(text)) refuse('it holds white space or a control character; a line break at its end often comes from pasting');
  const url = URL.canParse(text)
    ? new URL(text)
    : refuse(
        'it is not a URI; a port is a number up to 65535, and special characters in user and password must be percent-encoded ("@" is "%40", "/" is "%2F")',
      );
  if (url.hash !== '') refuse('it holds a "#"; in a password that is written "%23"');

  const host = decode(url.hostname, 'host')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
  const user = decode(url.username, 'user');
  const database = decode(url.pathname.slice(1), 'database');
  const port = url.port === '' ? 5432 : Number(url.port);
  if (host === '') refuse('it names no host');
  if (!/^[A-Za-z0-9._:-]+$/.test(host)) refuse('its host is not one plain name or address (lists of hosts and socket folders are not supported)');
  if (user === '') refuse('it names no user; a "/", "?" or "#" in the password must be percent-encoded');
  if (database === '') refuse('it names no database behind the host');
  if (url.pathname.slice(1).includes('/')) refuse('there is more than a database name behind the host; a "/" in a name is written "%2F"');
  if (port === 0) refuse('its port is 0');
  const sslmode = readParameters(url.searchParams);
  if (/^[^.]+-pooler(?:\.|$)/.test(host)) refusePooler();
  return { host, port, user, password: url.password === '' ? null : decode(url.password, 'password'), database, sslmode };
}

/**
 * @param host in lower case, as parseConnectionString gives it
 * @returns whether it is this machine, so that nobody can listen between
 */
export function isLocalHost(host: string): boolean {
  return host === 'localhost' || host === '127.0.0.1' || host === '::1';
}

function readParameters(parameters: URLSearchParams): SslMode | null {
  const names = [...parameters.keys()];
  if (names.includes('pgbouncer')) refusePooler();
  if (names.some((name) => !PARAMETERS.includes(name))) {
    refuse(`it has a parameter that Weft does not use; behind "?" may stand ${PARAMETERS.join(', ')} (Weft sets time-outs and names itself)`);
  }
  if (new Set(names).size < names.length) refuse('it has a parameter twice');
  const sslmode = parameters.get('sslmode');
  if (sslmode !== null && !SSL_MODES.includes(sslmode)) refuse(`its sslmode is none of ${SSL_MODES.join(', ')}`);
  return sslmode as SslMode | null;
}

function decode(text: string, part: string): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(text);
  } catch {
    return refuse(`its ${part} is not percent-encoded correctly ("%" itself is written "%25")`);
  }
  return decoded.includes('\0') ? refuse(`its ${part} holds a NUL`) : decoded;
}

function refuse(reason: string): never {
  throw new Problem('connection_string_invalid', `The connection string cannot be used: ${reason}.`);
}

function refusePooler(): never {
  throw new Problem(
    'transaction_pooler',
    'The connection string leads to a transaction pooler, which gives each transaction another backend; a deployment needs one that stays. Use the direct host (on Neon: the one without "-pooler").',
  );
}
