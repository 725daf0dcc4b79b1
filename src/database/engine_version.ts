// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'cb4fb0112e3aa8edd03a3a33fdbb4ea4e0b92532f86056db5a34e2948f7c157d';
