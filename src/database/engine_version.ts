// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '7d1eb8d2fe1e539b8e372809e8f15bce4f6f9bc4bb2004a72d2154794d080bb3';
