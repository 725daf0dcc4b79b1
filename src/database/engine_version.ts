// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'f24e1eb08dc971f1ccd05d084a209a2b82ee50287c1d74a04fc8b5fed1bcf80a';
