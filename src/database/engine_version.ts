// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'e5e8040974953cf9b2066f6cefb0e41cae3a9b191b5ff641b659cacf1ec0b08d';
