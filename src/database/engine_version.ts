// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '110ee21ed2bc1dcd26f9261752760ae42c404d3e3181efa6b0f566d4f55718bf';
