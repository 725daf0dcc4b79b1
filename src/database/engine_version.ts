// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '9cce9ecec146b6c78d53a1e9d8679d9de31a13e66415e0c3d5b5a808a9bc8e7a';
