// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'f44da15f67adc3148ee9a6618fccdfc0d00cd3cd2e9e8d1dd4d0fe9d051bcf69';
