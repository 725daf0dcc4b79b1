// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'ebdb38f90cc4132b857898d4d80a8bd2fad9d2e0956db99175b34f9e3baae6e3';
