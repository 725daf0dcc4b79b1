// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '5a7a9294ec9d79ff2312d6a57639a2e1a50d03495e4d9f90154f8eb6ea692e5a';
