// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'aa913bee8bb6d20b3fd0c7e22986fcdcb7da01c8a6ddfb3b09f18626fd5a0e8a';
