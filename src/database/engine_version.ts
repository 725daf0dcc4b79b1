// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'ca3f870bfdf5313c33fb05ff8cf25e8cbc6cb3f28c1de66daf54e82593c607ae';
