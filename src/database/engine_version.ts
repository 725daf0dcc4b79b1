// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '17c4ce14deb2d9c1fdf7ef32dfb7da38420e9e9f01ba8aedbe4c08e53a9fc69f';
