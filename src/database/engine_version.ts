// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '8030436e2c4f6cdb4dfc34f3e160ee0ad05247fdd43dd523536bf65d4d69e033';
