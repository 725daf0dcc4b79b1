// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '6a1d6ea0bf889745f18f3672d65a4f9f28f15b3c1f39b8de7f90fd6dfc77bef8';
