// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'c90acc957ddc461048cde339ac9ad52547b0a1db2c2a5ede43711bfd2c26f6d9';
