// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '31494e7572e4ac4d5d6aaf535d6fc28fb2dc3642fc0d50e272f350bb8bf62a7a';
