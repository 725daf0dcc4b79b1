// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '0e1cd1c40a035ecb885d5d9039d1078c47552080be882e1f8d996be394a5a0aa';
