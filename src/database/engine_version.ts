// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '8961def1e5064b65ae947ca6e171e8e69dd2cd56f76fa5302b78f0eb8d11a1c7';
