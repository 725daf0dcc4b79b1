// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '99ce5bb99290b2bdef488d52dc917a8b5c9abe8baa1695b62c97b5085a9f1f1f';
