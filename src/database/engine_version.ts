// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'dd40080c3a86d8b0fd0b3390a3f7264d2fd3c3bf52b4b68e0c6d303942ae8728';
