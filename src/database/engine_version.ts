// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'f49d7ebd51511746c8fe43ad0a935601f9d85e534ed9c1e81b18e2941fa11f3a';
