// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '0d7cbd8bbc5be6f9ca68787364d40ed3d53544200acc2d82a4c7080bbff5f18e';
