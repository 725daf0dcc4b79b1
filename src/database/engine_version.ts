// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '3cd2228fe106a5afc7a044fdff34816033f3cc86f26e4cdeebc5bc7b32fb3b09';
