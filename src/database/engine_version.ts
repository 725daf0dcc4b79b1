// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'e7fd5384d43e3ce8256c5b5ea14bccf2ce1ef3f046a319980787f8d6897c08a2';
