// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '7fc50d47bb6e46235e8313f6703f5e01fffea6b62cd037b19e17fba9d34669c7';
