// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '20c5acf37455ebe288dbcb85a20adfd818443a6bb2a5455c553b0f4ab21c6663';
