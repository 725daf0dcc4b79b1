// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '7e7c44ebb3e2de41238fe903ee51a51aacf76bdb7edfce4fb5b54abf3104dbda';
