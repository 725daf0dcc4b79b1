// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '88bff561c37aad37ae9f41e2ec6dae067b937abb7dba66e63f230a2c8fe20e7a';
