// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'b1f5b1950c7c20a2dcdf94fdf5b2b69402a8b390d3a4c47c016a5f8bdba5ed7e';
