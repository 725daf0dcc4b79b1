// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '45ae6ee126c9117c6b7b8d80b96ac7c603b15ca73ca994b7bc8c3f19d27cdf71';
