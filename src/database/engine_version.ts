// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'dc2d3472df0f5d8e0b4f2c360405a584a9d3167d62e7cdc0954bca2a638d4322';
