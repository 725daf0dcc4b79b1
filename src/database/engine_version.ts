// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'fd217c5299d54b7e7f52232739b7202f748d3b89fdf9a60ce36a464ec2c57bd8';
