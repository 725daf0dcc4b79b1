/**
 * A GitHub App: signs for itself with its private key, and is given a token for one repository, which lives an hour
 * (docs.github.com, "Generating a JSON Web Token (JWT) for a GitHub App", "Generating an installation access token").
 */
import * as z from 'zod';
import { decodeBase64 } from '../../config/base64.ts';
import { LIMITS } from '../../domain/limits.ts';
import { Problem } from '../../domain/problem.ts';
import type { Asking } from '../asking.ts';

/** GitHub allows ten minutes from when it says that it was made, and clocks differ: so it is made a minute ago. */
const jwt_begin_seconds = -60;
const jwt_life_seconds = 540;

export interface AppKey {
  readonly id: string;
  readonly installation: string;
  /** PEM of an RSA key: PKCS#8, or PKCS#1 as GitHub gives it. */
  readonly privateKey: string;
}

const tokenSchema = z.object({ token: z.string().min(1), expires_at: z.iso.datetime({ offset: true }) });

/** Tokens by repository, remembered as long as they live. */
export class AppTokens {
  readonly #key: AppKey;
  readonly #now: () => number;
  readonly #tokens = new Map<string, { readonly token: string; readonly until: number }>();

  /** @param now milliseconds since 1970 */
  constructor(key: AppKey, now: () => number) {
    this.#key = key;
    this.#now = now;
  }

  /** @param repository its id @throws Problem forge_unreachable, forge_refused, invalid_configuration */
  async get(asking: Asking, repository: string): Promise<string> {
    const known = this.#tokens.get(repository);
    if (known !== undefined && known.until > this.#now()) return known.token;
    const answer = await asking.ask({
      method: 'POST',
      path: `/app/installations/${this.#key.installation}/access_tokens`,
      authorization: `Bearer ${await makeAppJwt(this.#key, Math.floor(this.#now() / 1000))}`,
      body: { repository_ids: [Number(repository)] },
    });
    const parsed = tokenSchema.safeParse(answer);
    if (!parsed.success) throw new Problem('forge_refused', 'GitHub has given no installation token that can be read.');
    const { token, expires_at } = parsed.data;
    this.#tokens.set(repository, { token, until: Date.parse(expires_at) - LIMITS.forge_token_margin_seconds * 1000 });
    return token;
  }
}

/**
 * @returns a JSON Web Token (RFC 7519) of the App, signed with RS256 (RFC 7518, section 3.3)
 * @throws Problem invalid_configuration when the key is none
 */
export async function makeAppJwt({ id, privateKey }: AppKey, nowSeconds: number): Promise<string> {
  const claims = { iat: nowSeconds + jwt_begin_seconds, exp: nowSeconds + jwt_begin_seconds + jwt_life_seconds, iss: id };
  const text = new TextEncoder();
  const signed = `${toBase64Url(text.encode(JSON.stringify({ alg: 'RS256', typ: 'JWT' })))}.${toBase64Url(text.encode(JSON.stringify(claims)))}`;
  const signature = await crypto.subtle.sign('RSASSA-PKCS1-v1_5', await importKey(privateKey), text.encode(signed));
  return `${signed}.${toBase64Url(new Uint8Array(signature))}`;
}

async function importKey(pem: string) {
  const [, label, base64 = ''] = /-----BEGIN ((?:RSA )?PRIVATE KEY)-----([\s\S]*?)-----END \1-----/.exec(pem) ?? [];
  const der = decodeBase64(base64.replace(/\s+/g, ''));
  try {
    if (label === undefined || der === null) throw new Error('no PEM of a private key');
    const pkcs8 = label === 'PRIVATE KEY' ? der : wrapPkcs1(der);
    return await crypto.subtle.importKey('pkcs8', pkcs8, { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, false, ['sign']);
  } catch {
    // Without the cause: a library's error about a key may contain a piece of it.
    throw new Problem('invalid_configuration', 'The private key of the GitHub App is no RSA key in PEM (PKCS#8, or PKCS#1 as GitHub gives it).');
  }
}

/** The PrivateKeyInfo (RFC 5208, section 5) around an RSAPrivateKey (RFC 8017, appendix A.1.2): WebCrypto reads no other form. */
function wrapPkcs1(rsaKey: Uint8Array): Uint8Array<ArrayBuffer> {
  const version = [0x02, 0x01, 0x00];
  const rsaEncryption = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
  return der(0x30, [...version, ...rsaEncryption, ...der(0x04, rsaKey)]);
}

/** Tag, length and value (X.690, section 8.1). */
function der(tag: number, value: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const length: number[] = [];
  for (let rest = value.length; rest > 0; rest >>= 8) length.unshift(rest & 0xff);
  const head = value.length < 0x80 ? [tag, value.length] : [tag, 0x80 | length.length, ...length];
  const all = new Uint8Array(head.length + value.length);
  all.set(head);
  all.set(value, head.length);
  return all;
}

function toBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
}
