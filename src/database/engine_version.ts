// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'a6e28b87b44cbabdfb4250e167c7dee3fa0ad9bb653abec4487f73b088bf7ed6';
