// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '32bc8ec1ae49f3ee8cbc530d5e8d65dbe3aabe42a7462f81c179e2c4e1725797';
