// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '6961a17c3e217cfb7586d6f5c6afad4b7ab18fe6a6d02d25bdf6f6314fcffaab';
