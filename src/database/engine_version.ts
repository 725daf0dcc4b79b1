// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '422488a67bfa9a7d518dcab63bcb6a3f2e173f805bcfeddfbd1f98d8ce1668e0';
