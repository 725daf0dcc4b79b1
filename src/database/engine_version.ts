// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '9f5eed5bccc7fada4c541eac0ab4c4dd351e1dcc08461cd10bd51d7ef503ac54';
