// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '5e57884b59f6fad75d73ab58ecdbcf96a523035ebdced15c79e9cef1a927d83a';
