// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'b212dab9b8e75ce7ef94ba873a6d9dddae28425643b39b9b238bf4394e2e94e3';
