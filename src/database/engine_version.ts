// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'b97d13c0e19a3554378ab2d25626de6f58cc2712ea8228615f46d2b400aee17d';
