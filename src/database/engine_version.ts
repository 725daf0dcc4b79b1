// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'bbdbbcb144fdd5410ddd6e9ba2ed7cbca7cb470be0e6831ca7fcb45015e4272c';
