// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'e978678e5ca964c8f9d7847e6448d82a84c04ca771f61d9c8a0d22858ea5f2bb';
