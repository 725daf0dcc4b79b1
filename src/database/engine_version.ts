// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'fa8b9e8f336becc0ccf2ce5b04b3c6c23586e52b4351111cd34de15a8161cd0b';
