/**
 * Callers that prove themselves by the identity token of a CI job (OpenID Connect): which issuer, and which claims it must make. Claims are
 * held to immutable ids, never to names that somebody else may have tomorrow, and never to a pattern over `sub`. That a token is genuine is for
 * the room `trust` to find out.
 */
import * as z from 'zod';
import { webAddressSchema } from './web_address.ts';

export type IssuerKind = 'github' | 'gitlab' | 'azure';

export interface Identity {
  readonly kind: IssuerKind;
  /** `iss`, exactly. */
  readonly issuer: string;
  /** Where the issuer's public keys are, on its own host; null: where its discovery document says, on the same host. */
  readonly keys: string | null;
  /** `aud`, where it is not the Worker that chooses it: of Azure. */
  readonly audience?: string;
  /** For each claim, the values that it may have. */
  readonly claims: Readonly<Record<string, readonly string[]>>;
}

const CLAIM_CHARACTERS = 512;

const idSchema = z.string().regex(/^[1-9][0-9]{0,18}$/, 'an id: its digits as text, such as "123456" (a name may belong to somebody else tomorrow)');
const valueSchema = z.string().min(1).max(CLAIM_CHARACTERS);
const valuesSchema = z.union([valueSchema, z.array(valueSchema).min(1)], 'must be a text, or a list of texts of which one must be the claim');
/** As each of them writes it: what is written as the other does is never equal. */
const githubRefSchema = valuesSchema.refine(
  (given) => [given].flat().every((ref) => ref.startsWith('refs/')),
  'GitHub says the whole ref, such as "refs/heads/main"',
);
const gitlabRefSchema = valuesSchema.refine(
  (given) => ![given].flat().some((ref) => /^refs\/(?:heads|tags)\//.test(ref)),
  'GitLab says the name alone, such as "main"',
);

/** Claims that a caller of a kind can be held to; those that are not optional make sure whose token it is. */
const githubClaims = {
  repository_id: idSchema,
  repository_owner_id: idSchema,
  environment: valuesSchema.optional(),
  ref: githubRefSchema.optional(),
  ref_type: valuesSchema.optional(),
  ref_protected: valuesSchema.optional(),
  event_name: valuesSchema.optional(),
  job_workflow_ref: valuesSchema.optional(),
  workflow_ref: valuesSchema.optional(),
  runner_environment: valuesSchema.optional(),
  actor_id: valuesSchema.optional(),
};
const gitlabClaims = {
  project_id: idSchema,
  namespace_id: idSchema,
  environment: valuesSchema.optional(),
  environment_protected: valuesSchema.optional(),
  deployment_tier: valuesSchema.optional(),
  ref: gitlabRefSchema.optional(),
  ref_type: valuesSchema.optional(),
  ref_protected: valuesSchema.optional(),
  pipeline_source: valuesSchema.optional(),
  ci_config_ref_uri: valuesSchema.optional(),
  runner_environment: valuesSchema.optional(),
};
const azureClaims = {
  /** `<prefix>/sc/<organization id>/<connection id>`; the older form, by names, is `sc://organization/project/connection`. */
  sub: valueSchema.refine((text) => !text.includes('*'), 'must be the whole subject of one service connection, without "*"'),
};

/** The claims of each kind, as the documentation lists them. */
export const CLAIMS: Readonly<Record<IssuerKind, readonly string[]>> = {
  github: Object.keys(githubClaims),
  gitlab: Object.keys(gitlabClaims),
  azure: Object.keys(azureClaims),
};

const address = { issuer: webAddressSchema.optional(), keys: webAddressSchema.optional() };
const azureAddress = { issuer: webAddressSchema, keys: webAddressSchema.optional(), audience: valueSchema.optional() };

export const identitySchema = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({ kind: z.literal('github'), ...address, ...githubClaims }),
    z.strictObject({ kind: z.literal('gitlab'), ...address, ...gitlabClaims }),
    z.strictObject({ kind: z.literal('azure'), ...azureAddress, ...azureClaims }),
  ],
  'must be "github", "gitlab" or "azure"',
);

/** Where tokens of the services come from that everybody shares; Azure has an address for each organization. */
const ISSUERS: Readonly<Record<'github' | 'gitlab', string>> = { github: 'https://token.actions.githubusercontent.com', gitlab: 'https://gitlab.com' };
const KEYS: Readonly<Record<'github' | 'gitlab', string>> = { github: '/.well-known/jwks', gitlab: '/oauth/discovery/keys' };

export function makeIdentity(given: z.infer<typeof identitySchema>): Identity {
  const { kind, issuer: said, keys, ...others } = given;
  const { audience, ...claims }: { audience?: string | undefined } & Record<string, string | string[] | undefined> = others;
  const issuer = said ?? ISSUERS[kind as 'github' | 'gitlab'];
  const held: Record<string, readonly string[]> = {};
  for (const [claim, values] of Object.entries(claims)) if (values !== undefined) held[claim] = typeof values === 'string' ? [values] : values;
  return { kind, issuer, keys: keys ?? (kind === 'azure' ? null : issuer + KEYS[kind]), ...(audience === undefined ? {} : { audience }), claims: held };
}

/**
 * @param callers name and identity of each, those alone whose identity is well-formed
 * @returns what is wrong between them: keys of another host, and tokens that could be two callers'
 */
export function findInIdentities(callers: readonly { readonly name: string; readonly identity: Identity }[]): string[] {
  const faults: string[] = [];
  for (const [index, { name, identity }] of callers.entries()) {
    const where = `callers.${name}.identity`;
    if (identity.keys !== null && new URL(identity.keys).origin !== new URL(identity.issuer).origin) {
      faults.push(`${where}.keys: must be on the host of the issuer, ${new URL(identity.issuer).host}; keys from elsewhere prove nothing of it`);
    }
    for (const other of callers.slice(0, index)) {
      if (other.identity.issuer !== identity.issuer) continue;
      if (other.identity.keys !== identity.keys || other.identity.kind !== identity.kind) {
        faults.push(`${where}: callers.${other.name} has the same issuer with another kind or other keys; one issuer has one of each`);
      } else if (couldBeBoth(other.identity, identity)) {
        faults.push(`${where}: one token could be this caller and callers.${other.name} too; tell them apart by a claim that both name, such as environment`);
      }
    }
  }
  return faults;
}

function couldBeBoth(one: Identity, other: Identity): boolean {
  return Object.entries(one.claims).every(([claim, values]) => other.claims[claim]?.some((value) => values.includes(value)) ?? true);
}
