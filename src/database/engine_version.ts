// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'e8ffa46b9f3519cfbd06a706b2f61b8953274f8fe7e1ae4b61ff6b3552f703a1';
