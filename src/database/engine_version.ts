// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '2eca6d5e2dd9aaa2ad570e793a3b2b27dc2ed3aea4b942c3fd8d521f2f290756';
