// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '5316bdb067049e8d44578fbe5e062add40e56a842d2e877ee4d0f6c4f6bf0cbc';
