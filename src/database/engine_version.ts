// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'aa732f6a7c5aeabe3767db609b9d9a341beeb6ec476b8a135deeefec7638ee9b';
