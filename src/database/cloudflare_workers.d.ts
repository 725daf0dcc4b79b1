/** Of the module of workerd, what `engine_text_workerd.ts` and the Worker's `unfinished_work.ts` use. */
declare module 'cloudflare:workers' {
  /** The bindings of the Worker. */
  export const env: { readonly ENGINE?: { fetch(url: string): Promise<Response> } };

  export class DurableObject {
    protected readonly ctx: {
      readonly storage: {
        put(key: string, value: unknown): Promise<void>;
        delete(key: string): Promise<boolean>;
        list<T>(): Promise<Map<string, T>>;
      };
    };
  }
}
