// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '9a6bcbc19e225067e3d3eaf6b03cf368d6e17d8f0ad084dfb8ae98f40ec28925';
