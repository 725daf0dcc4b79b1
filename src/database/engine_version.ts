// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '56e448e9729d3e1ab6c4339fcaf2eb5a92852f9b8b6be23eeeed6fd8970f090c';
