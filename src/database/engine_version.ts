// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '497d4c4e2233a8b019b7ad263a94b8e0382d6fa5d1cfb85a8f97b948c9d0a3ca';
