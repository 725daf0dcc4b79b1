// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '96bfc0c6e4fddb2f6b698ea95fbfa3444792e4b8741666b3b838225558c2df16';
