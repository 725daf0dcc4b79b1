// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'b3661cb1781ed8b2a8da961f9ce1ea3b0c9f73916e0d7f48aa2f4ab603a56e9f';
