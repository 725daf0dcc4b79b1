// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'a0f128f8f6f1f1c6b8991c99c9894fc26aa73efe69565ea47a09445b9f37b3f9';
