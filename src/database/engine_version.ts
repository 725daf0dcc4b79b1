// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '7bbe878ef434abb927f323e6eeeb489ecb8c07e2f08e04dd28ad41f9dcdbc916';
