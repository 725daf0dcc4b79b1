// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '388cb4a798d219b3902c2b829efff649b072908bacf764c636a51ef342f45c63';
