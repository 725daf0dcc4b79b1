// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'ce16e2874a1e5efbcfb0076a999f5633f9bee15606cbd820ff8014a2aca1cef9';
