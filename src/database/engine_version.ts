// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '5d9e558435d9cfcfd9a800f1e4b8e8b96d54fbfe717cadb442a354de8862dffc';
