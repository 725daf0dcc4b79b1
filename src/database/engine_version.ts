// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'e7a140b9d1f41c70225874fda09c84bdccc9a1936ab7da5f2f1f1a6f2cb79706';
