// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '80ef0240dc4f68d33dc8691561a3c7b8dd9ac3a4365f5fb99a2ebab9c84cc5d2';
