/** The part of workerd's module that `engine_text_workerd.ts` and the Worker's `unfinished_work.ts` use. */
declare module 'cloudflare:workers' {
  /** The bindings of the Worker. */
  export const env: { readonly ENGINE?: { fetch(url: string): Promise<Response> } };

  export class DurableObject {
    protected readonly ctx: {
      readonly storage: {
        get<T>(key: string): Promise<T | undefined>;
        put(key: string, value: unknown): Promise<void>;
        delete(key: string): Promise<boolean>;
        delete(keys: readonly string[]): Promise<number>;
        list<T>(): Promise<Map<string, T>>;
        /** Milliseconds since 1970; null: none is set. */
        getAlarm(): Promise<number | null>;
        setAlarm(time: number): Promise<void>;
      };
    };
  }
}
