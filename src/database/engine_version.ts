// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'bd16a7ed177cb39e661980fe2ed9bb49b5e5a3eb2cb1673aff89816f405e03e9';
