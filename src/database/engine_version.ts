// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '8ed52e7c0d73994af51b9c8cffaa4dde4078b2be8e4916c0132cd62c1d81bdb7';
