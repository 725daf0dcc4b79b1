// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '8bdd7404394f3fb99a73c3511fe8d946b2737ec4d77c9048bff3d65b2791e0cf';
