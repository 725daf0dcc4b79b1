// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '3af8a56775e3feb3ffbd073afd1f2bc8f28ab08d39c0fb1d3592914f3d8411be';
