// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'cc80e071df7f6cb9418f9c9ee5f8a1fe613940b1e6b15c644258c7e161e764bd';
