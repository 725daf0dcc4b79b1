// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '408296821ef1b9b83eb7781e071edc11e8b7d4ccec94a4fb215dae1601e1baaa';
