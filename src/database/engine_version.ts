// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'c27bbb92870b5b9ca9c81f4eb8d6869294e8dab238c055b87d29b39b9c9109e8';
