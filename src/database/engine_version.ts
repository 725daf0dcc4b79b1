// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '1ec895ca1f57bf556a64d7cafab43efba9cf4e97bb980e93db36594ed0d16b9b';
