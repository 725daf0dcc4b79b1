// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '24366fe0d5f927915c2ebcf0a00ede25c3b6e86a6a42dafe20c32bc22e0c10f9';
