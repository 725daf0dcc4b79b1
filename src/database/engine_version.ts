// Made by `npm run build:sql` from sql/. Change the files there.

/** What `weft.version()` answers once this engine is laid. */
export const ENGINE_VERSION = 1;

/** SHA-256 of `assets/engine.json`, in hex. */
<<<<<<< HEAD
export const ENGINE_DIGEST = 'f3a4e60e64d04a7f244564b8c76ecf87129c3bb0e1795662b47656698e8a19fc';
=======
export const ENGINE_DIGEST = '6df796aecb665d96dac5e0c921637b5a80ad6509efbb2455617625443685ac84';
>>>>>>> db2ae83 (Let GitHub’s required reviewers be the second person of what another caller has opened with just the files that they have seen)
