/** node-postgres' Client by itself, without its pool and its way to the C library. Part of pg's files, not of its types. */
declare module 'pg/lib/client.js' {
  export { Client as default } from 'pg';
}
