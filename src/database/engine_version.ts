// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '555eb34e5b5448be8fc8a65a74aa091aaabc364867f7c4c09d38f6069d3ed658';
