// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'd7a4ec387e5a4ab6ce488a65a2442d01f6a94d8fb3d293e48522a7c76156ac22';
