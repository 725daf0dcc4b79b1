// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '995eeb9b6b1ff3eac2c518698f130a517ea31aed89cbbb072c8a5762a5e7e584';
