// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'f58e4229c39fde7479dde1d97fc34ca030be3e89b3e89e7ddfe9a8ede57c796b';
