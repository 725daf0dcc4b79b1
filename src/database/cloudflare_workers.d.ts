/** Of the module of workerd, what `engine_text_workerd.ts` uses. */
declare module 'cloudflare:workers' {
  /** The bindings of the Worker. */
  export const env: { readonly ENGINE?: { fetch(url: string): Promise<Response> } };
}
