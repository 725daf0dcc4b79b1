// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '574c95a97d5f240c84ed3d59f3c03ac974ef7822a1ff08cab943f901f9086e0a';
