// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '020ed0f37ebcc41831d199f2f74d59716dfd3d58f29fb8c90b21cd1873c942e3';
