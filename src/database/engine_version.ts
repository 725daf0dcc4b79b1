// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '04220ae3557ea8e3ab90e37f3c5bcb1d019194cc75be5e67a478dffd20c5363e';
