// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '123ff08eecf8a0733650fd5ad61a1a811a9ddd9dc2a08d0bc03d4afa616559e7';
