// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '2ac21e8a9dca893cd6e2d8ff0e3735a2da16da4c4a616b6490db8db52d6d097e';
