// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'aa5e8c933efe1f18889b8e18d7b6a4a2e9dc9c05bcc9dfd4386d37c8c6e6adfc';
