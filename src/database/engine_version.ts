// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '58ae9e02f3aa096d38dc7fc63d2387f4bba7bcaa536d4655fb97fe041354c8e9';
