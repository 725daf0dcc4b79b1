// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '1e8546cce5588b5d1bbb62ee07bb9eaac5d66e8da756c916cc0121b0d5b42011';
