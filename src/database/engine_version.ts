// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '05a8a2c150bbb4727e62a355f3fe16c856edcf6e71d066ad60bba81882a79ac1';
