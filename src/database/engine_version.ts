// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = '37849a7a22721f5d0dd0c2ce3fcafce4fcc9190ad90f5e69aa06496cf5e02b6f';
