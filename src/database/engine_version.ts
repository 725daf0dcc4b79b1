// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'dd5e85dd7dda26c0f2490919a336a0d7cc2889abefc24c3ea44f9faebdd4d9af';
