// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
<<<<<<< HEAD
export const ENGINE_DIGEST = '205d93fadda1d259eb7f014e72159b1f92f67d07105ac2fef741e1a605cc1b79';
=======
export const ENGINE_DIGEST = '0a2eb9e71023bd1fd48ee6cc8b870354c1e08610b47598190443b46ba32e983a';
>>>>>>> 47f4883 (Say of an undo beforehand what it would fail with, rehearse it, give it secrets, and choose no bundle by chance)
