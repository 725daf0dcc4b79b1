// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'e0c30b62f1e5c6a389d1bf87da17bb26265d1cfcc8b098e3aa0f1334a5906b22';
