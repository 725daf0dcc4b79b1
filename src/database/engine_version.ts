// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'c9e1921690f1748d8a60b2bff1bcdb9f526fa744f8446eb7f02d1ad2324c9e74';
