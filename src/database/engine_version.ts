// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '60d89c6bb63bd3b8860b68e8ba6112413e28e4d684d13c5425c120eba1c5466d';
