// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'c2ccbd908c09d1faf4b13f0d7ea3c4683c2ab9880f2ef2fc66de0fa65b2a6233';
