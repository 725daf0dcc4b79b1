// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'a35fd8abe8ba3f0571a8b813c5e2db49d135f26ff6016dbbdc70e7343721ec12';
