// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '4278f6cf9ad642091460c3dc0866d5c0f0988c2ea80e256a71adc2cf9e4e9afd';
