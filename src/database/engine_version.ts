// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '2cc0a49c9b58e41af2b9603a056fb9647cc06f80c35cbb95797e2f8dd674b7b1';
