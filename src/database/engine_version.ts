// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '407e5a538f78fd0b2deef9b1c0cfb18bcfcc908a114cddd1f2f691b6919420f7';
