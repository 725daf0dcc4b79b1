// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '6ef4f52c2231444eb09b4b84088d996eef8bb50db7d01507d0f0ddf529cf0ee5';
