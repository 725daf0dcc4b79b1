// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'ae9ec3d987453175e82d2c2b2eef4fc27d8b11fcdb7e816cede47c0ecef8d4ea';
