// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '79bea21bade17ea0c0c039d1cb335f3fef6fbf313a6f7fb1f3e6977c3481a17c';
