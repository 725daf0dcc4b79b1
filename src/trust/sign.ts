/** The caller's side: turns a request into the bytes and headers that acceptRequest takes; makes new secrets. */
import { encodeWebhookSecret } from '../config/webhook_secret.ts';
import type { WeftRequest } from '../domain/request.ts';
import { checkRequest } from './request.ts';
import { type SignedHeaders, signRequest } from './signature.ts';

export interface SignedRequest {
  /** The document: JSON in UTF-8, keys in the order of the schema, no white space. Equal requests make equal bytes. */
  readonly body: Uint8Array<ArrayBuffer>;
  readonly signed: SignedHeaders;
  /** The same as HTTP headers. */
  readonly headers: Readonly<Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string>>;
}

/**
 * @param request what is asked
 * @param secret `whsec_…`
 * @param nowSeconds since 1970
 * @throws Problem invalid_request or invalid_manifest when request or secret do not have the right form
 */
export async function makeSignedRequest(request: WeftRequest, secret: string, nowSeconds: number): Promise<SignedRequest> {
  const body = encodeRequest(request);
  const signed = await signRequest(body, secret, request.id, nowSeconds);
  return { body, signed, headers: signedHeadersOf(signed) };
}

/** @returns the document: JSON in UTF-8, keys in the order of the schema, no white space @throws Problem invalid_request, invalid_manifest */
export function encodeRequest(request: WeftRequest): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(checkRequest(request)));
}

/** @returns the headers that readSignedHeaders reads */
export function signedHeadersOf(signed: SignedHeaders): SignedRequest['headers'] {
  return { 'webhook-id': signed.id, 'webhook-timestamp': signed.timestamp, 'webhook-signature': signed.signature };
}

/** @returns a new secret for a caller: `whsec_` and base64 of 32 random bytes */
export function generateSecret(): string {
  return encodeWebhookSecret(crypto.getRandomValues(new Uint8Array(32)));
}
