// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'd69478f3357f3295bcfa9f82dcf07eb4d12fd9cafefde9788ec9c7ed787fdb89';
