// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '3d2c563a6a020fe1d5a8666f283274dcfeb3292ba8e80228aee15b6e4395c8e7';
