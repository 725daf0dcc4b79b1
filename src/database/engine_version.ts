// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '1c6ae2c24939242a15fc28fe62f3e05335387577ab6f5a57d336f1e7ffebe9a8';
