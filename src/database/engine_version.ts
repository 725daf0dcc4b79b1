// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '6438ae917537319fbb9e37d83ef3dc89fc76422ec8d5eaf50e96a5026cd6ac7a';
