// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '0aa71a1efa8b6ebff9dd01684561c0fd4800ee25dd6183e08563c86822137bc2';
