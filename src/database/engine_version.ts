// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '7cc26f5e0f0a1ad58c982aeb87383d0c7887d096632676ef39c2cf5bcf9d0807';
