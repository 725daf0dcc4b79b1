// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'a2f1a40d10eb5237fb2c8b0f9031aaa9d3ad6ae942b673f840f34d5131f2f048';
