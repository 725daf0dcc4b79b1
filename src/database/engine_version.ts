// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '78bc1365a0d8b5ac872faa401a64ac21c7d2adb6e35f6ca2fb2365baa5899920';
