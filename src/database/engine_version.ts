// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '2d6e9bafcb29c771c82fab66595c9d91d215ca3cbbabd1b33d561a8e3de71c13';
