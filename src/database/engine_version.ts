// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'c3e7c8dcbcc2707ef68aa24a3f9d4df70c0355ee3d2d542b75d913aadb4e1eee';
