// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'becc5e17c4adbfc91a103fe0d1a93cb6fa15b137b2bcb4cd500c07f80ae9c324';
