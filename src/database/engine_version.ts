// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '192d8c8384ce0f2d8134ecf8b588ba37d59e6f98e65c2c77eac1ed9fc6b55699';
