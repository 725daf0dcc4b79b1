// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '2e6050e61b7425e8665e907b53440683d732d9cbbe0a3cedf9b50bbdc3a1b96b';
