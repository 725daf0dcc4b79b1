// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
export const ENGINE_DIGEST = 'fe87c93ef84ef326b6cc4323aa0abc9a2649fdc9b42baa8bc15328169c02cf27';
