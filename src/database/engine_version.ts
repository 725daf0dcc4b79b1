// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '220d624652bf4c26cf8ceeee94ec325c8c1bfc20fc372e2e0ef7df0648d21a1c';
