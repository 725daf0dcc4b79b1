// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '66dc7d1a679ff43a0917bb5fd489bb99c072d45d17b0c7e5ef0f3771a7dc3b75';
