// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '3afb3ddfc1d9f39a9623bcb7c6da9e0c2c3a196849fe85234e237b0a14101e7f';
