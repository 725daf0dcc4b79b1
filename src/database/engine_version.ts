// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '603c4e0f0d96fab2e5d292d74b9fda88f90928937fed0c1ae91c734a9ced3275';
