// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '3330bacc1cf9e8b1fd55fd12d8971ab292958736b3dc83c3819fd7d5680922ab';
