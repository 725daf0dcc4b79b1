// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'ea7ee9622f5732f0041da29daecfeeae24ca45b6af3e7a6d3cf991a6a24f3674';
