// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '657751dd6dd8e13bc7f0825ab69e5902e7dd8e8ea5009e1c72a4c52697443b0b';
