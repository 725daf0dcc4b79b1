// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '8623db6c3ceb2ae6db7316f12bbaabb9efa0c89716a4dff8b0f3190bbb4375a6';
