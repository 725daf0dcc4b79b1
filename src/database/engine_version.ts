// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '9e0672fca1e4af9f13f792dc52693b4f8507dfbd9bfe9485b954e7ac113e485e';
