// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
<<<<<<< HEAD
export const ENGINE_DIGEST = 'f24e1eb08dc971f1ccd05d084a209a2b82ee50287c1d74a04fc8b5fed1bcf80a';
=======
export const ENGINE_DIGEST = '5e2bdb19df29e2f97952636d155891e9b765d274007dac48729f264611bfe3b1';
>>>>>>> f84060f (Undo repeatable files without losing what others made: drop only what is made again whole, give back exact rights, leave what is new)
