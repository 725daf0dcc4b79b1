/** node-postgres' Client by itself, without its pool and its way to the C library. Part of pg's files, not of its types. */
declare module 'pg/lib/client.js' {
  import type { ClientConfig } from 'pg';
  export default class Client {
    /** @param config `stream` makes what stands in for a socket; nothing but what `websocket.ts` has is asked of it */
    constructor(config: Omit<ClientConfig, 'stream'> & { stream?: () => unknown });
  }
}
