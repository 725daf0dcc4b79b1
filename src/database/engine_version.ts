// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '3844a0a5222ec30124c6b0892ad4ddeed4a7ba78207cea85ee1d81d5b1caf235';
