// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '2f5c6311366b0db66ca0a2eb662559bfa19fb91afe74e6289eb0f52d7d2a67e3';
