// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '81fb765250ba2dd9b4e8ccac3e93b0ab3398681b69fd127482a278de0a1389f0';
