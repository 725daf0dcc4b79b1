// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '6cae89e10f0be24ce8b9e041070a1d7e4b4e870bf2c1dc05b8af98e5190e7603';
