// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'd5bec535a5c2ff8055f445729973e1c9cfac446bf7a2b360a5bb82f90cbb6d1d';
