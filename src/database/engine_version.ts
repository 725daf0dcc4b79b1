// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '07f1ddbca5c5000b8870afdb4475c559ece913b1ff645e9f6d959c80ef30eae8';
