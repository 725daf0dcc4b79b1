/** For whom a job asks for its identity token: known to both ends, the command line and the Worker. */

/** What a token is brought for. */
export type Purpose =
  /** The SHA-256 of the signed document, in hexadecimal. */
  { readonly kind: 'request'; readonly digest: string } | { readonly kind: 'read' };

/** @param origin of the Worker @returns the audience that a GitHub job has to ask for */
export function audienceOf(origin: string, purpose: Purpose): string {
  return purpose.kind === 'read' ? origin : `${origin}/sha256:${purpose.digest}`;
}
