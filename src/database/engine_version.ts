// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '143e3ef4ac69559ec9dc44f29841c0e2f38f2db53fe86e4260d290be82e009fa';
