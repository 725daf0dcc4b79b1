// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '3a18f8bfc50dc0ec5b23575d7686301c38ec6b287f01205771aff3d4f0b4d0d9';
