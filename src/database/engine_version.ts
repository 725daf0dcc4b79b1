// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '8915cf2d885bbe3b91b1d01f1824714ad75abd0e7224ec5011b0bfdcdd53cecb';
