// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '1f3dd498c2291b8fbd244e300c3cc8e86a1c6f37b1c74b0f4c2088e5e4209496';
