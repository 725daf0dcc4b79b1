// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'bfeb7ee2ac4a72141dd069eeb8615d9bb99466abc2a16032e8997fcd1b5c4b5f';
