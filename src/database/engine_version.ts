// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'e7877ebe6c1dfe383faf1d11a74ed8f6be9ac243ae7afe85fbe9bee5d80ad439';
