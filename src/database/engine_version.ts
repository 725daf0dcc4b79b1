// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '1223e3df25436ca239b8d58f57243511ee92e56870164f8960223cb9819a3ebd';
