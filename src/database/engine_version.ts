// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '188d955b1b35befa2ef7c17ae496f6b755afcfc55d62d7b7152acef5d5b4d3eb';
