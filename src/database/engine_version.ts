// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'a0ccf984d2671d6e40a4cae2f8c7f9e47c596b6e3dcac3c5303e9832aff99ca0';
