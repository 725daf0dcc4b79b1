/**
 * Web addresses in a configuration: of the Worker, of issuers of identity tokens, of a forge's API. No others are ever called, and only
 * over TLS, except on this machine.
 */
import * as z from 'zod';

/** Scheme, host and port, and nothing after them. */
export const originSchema = z
  .string()
  .refine(isOrigin, 'must be an origin, such as https://weft.example.com: no path, no "/" at its end, http only for localhost and 127.0.0.1');

/** The same with a path, perhaps. */
export const webAddressSchema = z
  .string()
  .refine(
    isWebAddress,
    'must be an address, such as https://forge.example.com/api: no "/" at its end, no "?", no "#", no password, http only for localhost and 127.0.0.1',
  );

function isOrigin(text: string): boolean {
  return isWebAddress(text) && new URL(text).origin === text;
}

function isWebAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  const schemeFits = url.protocol === 'https:' || (url.protocol === 'http:' && (url.hostname === 'localhost' || url.hostname === '127.0.0.1'));
  return schemeFits && url.origin + (url.pathname === '/' ? '' : url.pathname) === text && !text.endsWith('/');
}
