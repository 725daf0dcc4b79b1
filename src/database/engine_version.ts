// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'ce2a52bc9b07f837ee1ee7f1b5469038939b26210f89ed730bc0c5827c4c432d';
