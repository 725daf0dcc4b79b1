// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '10fced142e74b9edc5b6682640c9dbf478fdf8d54b8ad8b3392191de6c9015a2';
