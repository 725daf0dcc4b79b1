// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '6370998273eb7faf4367d286e44cf9d2dd02d5f8c94d3d3dcc0a919c1a5888f0';
