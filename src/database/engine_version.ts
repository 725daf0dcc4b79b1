// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '71ad2ff359d74c8a9bdb2633d37ef0fa538aada2065acbb1d6c869cd0baac23c';
