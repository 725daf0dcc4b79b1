// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '302deed2d1e82591d2e10a9e0e8d084e041dc1a92d84064a7710a77cd9d56e0e';
