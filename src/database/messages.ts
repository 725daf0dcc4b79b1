/**
 * The frontend messages of PostgreSQL's protocol that Weft sends itself (manual, 55.7), as parts: a value that is bytes is a part of
 * its own, handed on as it is. Small parts are joined and large ones split by `outbox.ts`; the replies are read by the driver's parser.
 */
import { Buffer } from 'node:buffer';
import type { Value } from './session.ts';

/** Bind counts its values in an unsigned 16-bit number. */
const values_count_max = 65_535;

/** Ends the implicit transaction and asks for ReadyForQuery. */
export const SYNC = message('S');
/** Asks the server to hand out what it has answered so far: without it, answers wait for the next Sync. */
export const FLUSH = message('H');
/** Says goodbye: the server rolls back what is open and ends. */
export const TERMINATE = message('X');

/** Refuses the data that a COPY FROM STDIN waits for. */
export function encodeCopyFail(reason: string): Uint8Array[] {
  return message('f', [cstring(reason)]);
}

/** A simple query: sent alone, in autocommit. */
export function encodeQuery(text: string): Uint8Array[] {
  return message('Q', [cstring(text)]);
}

/** set_config(text, text, boolean): the same in every version since 7.3. */
const set_config_oid = 2078;

/**
 * A call of set_config by the function call protocol (manual, 55.2.5). Whatever a server is told to log of statements (log_statement,
 * log_min_duration_statement), of such a call it logs the function's name, and never its arguments: of Bind it would log every value.
 * @throws Error for a NUL
 */
export function encodeSetting(name: string, value: string): Uint8Array[] {
  if (`${name}${value}`.includes('\0')) throw new Error('A NUL character cannot be sent to the server in a setting.');
  const values = [name, value, 'f'].flatMap((text) => {
    const bytes = Buffer.from(text, 'utf8');
    return [int32(bytes.length), bytes];
  });
  return message('F', [int32(set_config_oid), int16(0), int16(3), ...values, int16(0)]);
}

/**
 * Parse, Bind, Describe and Execute of the unnamed statement. The server infers the types; bytes go in binary, everything
 * else and all results in text.
 * @throws Error for a NUL in the text, or more values than a message can hold
 */
export function encodeStatement(text: string, values: readonly Value[]): Uint8Array[] {
  if (values.length > values_count_max) throw new Error(`A statement has ${values.length} values; the protocol allows ${values_count_max}.`);
  const bound: Uint8Array[] = [
    cstring(''),
    cstring(''),
    int16(values.length),
    ...values.map((value) => int16(value instanceof Uint8Array ? 1 : 0)),
    int16(values.length),
  ];
  for (const value of values) {
    if (value === null) {
      bound.push(int32(-1));
    } else {
      const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
      bound.push(int32(bytes.length), bytes);
    }
  }
  bound.push(int16(0));
  return [
    ...message('P', [cstring(''), cstring(text), int16(0)]),
    ...message('B', bound),
    ...message('D', [Buffer.from('P'), cstring('')]),
    ...message('E', [cstring(''), int32(0)]),
  ];
}

function message(code: string, body: readonly Uint8Array[] = []): Uint8Array[] {
  let length = 4;
  for (const part of body) length += part.length;
  return [Buffer.from(code), int32(length), ...body];
}

function cstring(text: string): Uint8Array {
  if (text.includes('\0')) throw new Error('A NUL character cannot be sent to the server in a statement.');
  return Buffer.from(`${text}\0`, 'utf8');
}

function int16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value & 255);
}

function int32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}
