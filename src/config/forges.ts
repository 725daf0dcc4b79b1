/**
 * Callers that are a forge: what proves its webhooks, where its API is, and with what Weft asks there. And sources: which folder of which
 * repository goes to which target when. What an event says is for the room `forges`.
 */
import * as z from 'zod';
import { nameSchema, pathSchema } from '../domain/manifest.ts';
import { givenSchema } from '../domain/parameters.ts';
import { branchSchema, patternsMeet } from './pattern.ts';
import { secretNameSchema } from './secret_name.ts';
import { webAddressSchema } from './web_address.ts';

export type ForgeKind = 'github' | 'gitlab' | 'azure';

export interface Forge {
  readonly kind: ForgeKind;
  /** Names of the secrets that prove a webhook: two of them while one is changed for the other. */
  readonly webhook_secrets: readonly string[];
  /** The root of its API: the only host that is asked, but for `archives`. */
  readonly api: string;
  /** The origin to which it may lead a request for an archive. */
  readonly archives: string;
  /** How Weft proves itself there: as a GitHub App, or with a token. */
  readonly app?: { readonly id: string; readonly installation: string; readonly private_key: string };
  /** The name of a secret. */
  readonly token?: string;
}

export interface Source {
  /** The name of a caller that is a forge. */
  readonly forge: string;
  /** Immutable: GitHub's and GitLab's number, Azure's GUID. */
  readonly repository_id: string;
  /** The bundle's, from the root of the repository; null: the root itself. */
  readonly folder: string | null;
  readonly event: string;
  /** A name, or a pattern with `*`: the branch pushed, or the one that a pull request is to go into. */
  readonly branch?: string;
  /** Of a deployment that the forge announces. */
  readonly environment?: string;
  /** The file of a workflow, or at Azure the id of a pipeline's definition, that has to have succeeded. */
  readonly workflow?: string;
  readonly target: string;
  /** `approve`: what waits for a second person, and is just this. */
  readonly mode: 'apply' | 'rehearse' | 'approve';
  readonly parameters?: z.infer<typeof givenSchema>;
}

const numberSchema = z.string().regex(/^[1-9][0-9]{0,18}$/, 'a number as text, such as "123456"');

const common = {
  webhook_secrets: z.array(secretNameSchema).min(1),
  api: webAddressSchema.optional(),
  archives: webAddressSchema.optional(),
};

export const forgeSchema = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({
      kind: z.literal('github'),
      ...common,
      app: z.strictObject({ id: numberSchema, installation: numberSchema, private_key: secretNameSchema }).optional(),
      token: secretNameSchema.optional(),
    }),
    z.strictObject({ kind: z.literal('gitlab'), ...common, token: secretNameSchema }),
    z.strictObject({ kind: z.literal('azure'), ...common, api: webAddressSchema, token: secretNameSchema }),
  ],
  'must be "github", "gitlab" or "azure"',
);

export const sourceSchema = z.strictObject({
  forge: nameSchema,
  repository_id: z.string().regex(/^(?:[1-9][0-9]{0,18}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/, 'an id of a repository: digits as text, or a GUID'),
  folder: pathSchema.optional(),
  event: z.string().max(64),
  branch: branchSchema.optional(),
  environment: z.string().min(1).max(255).optional(),
  workflow: z.string().min(1).max(255).optional(),
  target: nameSchema,
  mode: z.enum(['apply', 'rehearse', 'approve']).optional(),
  parameters: givenSchema.optional(),
});

const DEFAULTS: Readonly<Record<'github' | 'gitlab', { readonly api: string; readonly archives: string }>> = {
  github: { api: 'https://api.github.com', archives: 'https://codeload.github.com' },
  gitlab: { api: 'https://gitlab.com/api/v4', archives: 'https://gitlab.com' },
};

/** What each event needs to be told by: as the forge calls it. */
export const EVENTS: Readonly<Record<ForgeKind, Readonly<Record<string, readonly ('branch' | 'environment' | 'workflow')[]>>>> = {
  github: {
    push: ['branch'],
    pull_request: ['branch'],
    deployment: ['environment'],
    workflow_run: ['branch', 'workflow'],
    deployment_protection_rule: ['environment'],
    deployment_review: ['environment'],
  },
  gitlab: { push: ['branch'], merge_request: ['branch'], deployment: ['environment'], pipeline: ['branch'] },
  azure: { push: ['branch'], pull_request: ['branch'], build: ['branch', 'workflow'] },
};

/** Events of what nobody has looked at yet: rehearsed, if nothing else is said. */
const UNREVIEWED: readonly string[] = ['pull_request', 'merge_request', 'deployment_protection_rule'];
/** What asks whether a job may start is answered with a rehearsal, and deploys nothing. */
const QUESTION = 'deployment_protection_rule';
/** What reviewers say of a job approves what waits, and deploys nothing by itself. */
export const REVIEW = 'deployment_review';

export function makeForge(given: z.infer<typeof forgeSchema>): Forge {
  const { kind, webhook_secrets, token } = given;
  const defaults = given.api === undefined ? DEFAULTS[kind as 'github' | 'gitlab'] : { api: given.api, archives: new URL(given.api).origin };
  const app = given.kind === 'github' ? given.app : undefined;
  return {
    kind,
    webhook_secrets,
    ...defaults,
    ...(given.archives === undefined ? {} : { archives: given.archives }),
    ...(app && { app }),
    ...(token && { token }),
  };
}

export function makeSource({ folder, mode, branch, environment, workflow, parameters, ...rest }: z.infer<typeof sourceSchema>): Source {
  return {
    ...rest,
    folder: folder ?? null,
    mode: mode ?? (rest.event === REVIEW ? 'approve' : UNREVIEWED.includes(rest.event) ? 'rehearse' : 'apply'),
    ...(branch === undefined ? {} : { branch }),
    ...(environment === undefined ? {} : { environment }),
    ...(workflow === undefined ? {} : { workflow }),
    ...(parameters === undefined ? {} : { parameters }),
  };
}

/** Whether one event could be followed by both, with one folder to one target: that is one deployment, and which source says how it is made would be anybody's guess. */
export function canFollowSame(one: z.infer<typeof sourceSchema>, other: z.infer<typeof sourceSchema>): boolean {
  const isSame = (['forge', 'repository_id', 'event', 'folder', 'target', 'environment'] as const).every((key) => one[key] === other[key]);
  return isSame && patternsMeet(one.branch ?? '*', other.branch ?? '*') && isSameWorkflow(one.workflow, other.workflow);
}

/** A file goes by its whole path or by its name alone. */
function isSameWorkflow(one: string | undefined, other: string | undefined): boolean {
  const isNameOf = (name = '', path = '') => !name.includes('/') && path.split('/').at(-1) === name;
  return one === other || isNameOf(one, other) || isNameOf(other, one);
}

/** @returns what is wrong with a forge by itself, though each key of it is well-formed */
export function findInForge(where: string, given: z.infer<typeof forgeSchema>): string[] {
  if (given.kind !== 'github') return [];
  if (given.app === undefined && given.token === undefined) return [`${where}: needs app (of GitHub) or token, to ask for files and to report back`];
  if (given.app !== undefined && given.token !== undefined) return [`${where}: has app and token; one of them is asked with`];
  return [];
}

/**
 * @param where such as `sources[0]`
 * @param forge its forge, as it is given
 * @returns what the event lacks, or has too much
 */
export function findInSource(where: string, forge: z.infer<typeof forgeSchema>, source: z.infer<typeof sourceSchema>): string[] {
  const { kind } = forge;
  const events = EVENTS[kind];
  const needs = Object.hasOwn(events, source.event) ? events[source.event] : undefined;
  if (needs === undefined)
    return [
      `${where}.event: expected one of ${Object.keys(events)
        .map((event) => `"${event}"`)
        .join('|')} (of ${kind})`,
    ];
  const faults = kind === 'azure' ? findInAzureSource(where, source) : [];
  if (source.mode !== undefined && (source.mode === 'approve') !== (source.event === REVIEW))
    faults.push(`${where}.mode: a ${REVIEW} approves, and nothing else does`);
  if (source.event === QUESTION && source.mode === 'apply')
    faults.push(`${where}.mode: a ${QUESTION} is answered with a rehearsal; what it lets start may deploy`);
  if (source.event === QUESTION && kind === 'github' && forge.app === undefined)
    faults.push(`${where}.event: GitHub takes the answer to a ${QUESTION} from an App alone: callers.${source.forge}.forge needs app in place of token`);
  return (['branch', 'environment', 'workflow'] as const)
    .flatMap((key) => {
      if (needs.includes(key) && source[key] === undefined) return [`${where}.${key}: is missing; ${source.event} is told by it`];
      return !needs.includes(key) && source[key] !== undefined ? [`${where}.${key}: is not for ${source.event}`] : [];
    })
    .concat(faults);
}

/** Names of repositories and of pipelines may be somebody else's tomorrow. */
function findInAzureSource(where: string, { repository_id, workflow }: z.infer<typeof sourceSchema>): string[] {
  return [
    ...(repository_id.includes('-') ? [] : [`${where}.repository_id: must be a GUID; Azure has no other ids of repositories`]),
    ...(workflow === undefined || /^[1-9][0-9]{0,18}$/.test(workflow)
      ? []
      : [`${where}.workflow: must be the id of a pipeline, such as "12" (definitionId in its address)`]),
  ];
}
