// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '9fb34645753692052b2f3b0bb5fb3736d60c1f4f68828ee48ed069e3b0c2a703';
