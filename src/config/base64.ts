/**
 * Base64 and its URL alphabet (RFC 4648, sections 4 and 5), strict: one text for one sequence of bytes. `atob` forgives
 * white space, missing padding and stray bits; what is signed and compared here should not.
 */

/**
 * @param text base64 with padding
 * @returns the bytes, or null when the text is not exactly how they would be written
 */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> | null {
  let binary: string;
  try {
    binary = atob(text);
  } catch {
    return null;
  }
  return btoa(binary) === text ? Uint8Array.from(binary, (character) => character.charCodeAt(0)) : null;
}

/** @returns base64 with padding; for short values, not for files */
export function encodeBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

/**
 * @param text base64url without padding
 * @returns the bytes, or null when the text is not exactly how they would be written
 */
export function decodeBase64Url(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return null;
  const padding = '='.repeat((4 - (text.length % 4)) % 4);
  return decodeBase64(text.replaceAll('-', '+').replaceAll('_', '/') + padding);
}

/** @returns base64url without padding; for short values, not for files */
export function encodeBase64Url(bytes: Uint8Array): string {
  return encodeBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
