/**
 * What service hooks of Azure DevOps say (learn.microsoft.com, "Service hook events"). All of it is in the body, which is not signed:
 * so nothing is believed that the API does not confirm. A subscription that is answered with errors is disabled: what cannot be read is
 * ignored, with the reason.
 */
import * as z from 'zod';
import { parseStrictJson } from '../../config/strict_json.ts';
import { type Change, commitSchema } from '../../domain/change.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Delivery, Heard } from '../forge.ts';
import { branchSchema, reader } from '../forms.ts';

/** "Resource details to send" is not "All", say, or the version is an old one. */
const FORM = 'what such an event has, in its newest version and with all details';

const HEADS = 'refs/heads/';

const idSchema = z.int().min(1);
const guidSchema = z
  .string()
  .regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, 'a GUID')
  .transform((text) => text.toLowerCase());
const refSchema = branchSchema;
const repositorySchema = z.object({ id: guidSchema, project: z.object({ id: guidSchema }) });

/** By `id` a notification is the same when it is sent again. */
const eventSchema = z.object({ id: guidSchema, eventType: z.string().max(128), resource: z.unknown() });

const pushSchema = z.object({
  repository: repositorySchema,
  refUpdates: z.array(z.object({ name: refSchema, newObjectId: commitSchema })).max(10_000),
});

const pullRequestSchema = z.object({
  repository: repositorySchema,
  pullRequestId: idSchema,
  status: z.string(),
  sourceRefName: refSchema,
  targetRefName: refSchema,
  lastMergeSourceCommit: z.object({ commitId: commitSchema }),
  /** Only of a fork. */
  forkSource: z.unknown().optional(),
});

/** Of version 2.0; version 1.0 does not say which repository it was. */
const buildSchema = z.object({
  id: idSchema,
  status: z.string(),
  result: z.string(),
  reason: z.string(),
  definition: z.object({ id: idSchema }),
  project: z.object({ id: guidSchema }),
  repository: z.object({ id: z.string().max(1024), type: z.string().max(64) }),
  sourceBranch: refSchema,
  sourceVersion: commitSchema,
});

/** For a branch of the repository itself, by somebody who may write to it. */
const FIRST_RUNS: readonly string[] = ['individualCI', 'batchedCI'];
const RUNS_ANEW: readonly string[] = ['manual', 'schedule', 'scheduleForced', 'userCreated'];

/** @returns whether a build was requested again; null for one that is not of a branch of the repository itself */
export function isRunAnew(reason: string): boolean | null {
  if (RUNS_ANEW.includes(reason)) return true;
  return FIRST_RUNS.includes(reason) ? false : null;
}

/**
 * @param delivery that was proved
 * @throws Problem malformed_json
 */
export function readEvent({ body }: Delivery): Heard {
  return readNotification(parseStrictJson(body, 'The body of the webhook'));
}

const readNotification = reader(eventSchema, FORM, ({ eventType, resource }) => {
  const read = Object.hasOwn(READERS, eventType) ? READERS[eventType] : undefined;
  if (read === undefined) return { ignored: `The event "${eventType}" is none that deployments follow from.` };
  return read(resource);
});

const READERS: Readonly<Record<string, (resource: unknown) => Heard>> = {
  'git.push': reader(pushSchema, FORM, ({ repository, refUpdates }) => {
    const heads = refUpdates.filter(({ name }) => name.startsWith(HEADS) && name !== HEADS);
    if (heads.length === 0) return { ignored: 'No branch was pushed.' };
    const pushed = heads.filter(({ newObjectId }) => !/^0+$/.test(newObjectId));
    if (pushed.length === 0) return { ignored: 'The branch was deleted.' };
    if (pushed.length > LIMITS.push_branches_count_max)
      return { ignored: `${pushed.length} branches were pushed at once, more than ${LIMITS.push_branches_count_max} (push_branches_count_max).` };
    const of = ofRepository(repository);
    return {
      changes: pushed.map(({ name, newObjectId }) => ({
        ...of,
        event: 'push',
        commit: newObjectId,
        branch: name.slice(HEADS.length),
      })),
    };
  }),
  'git.pullrequest.created': reader(pullRequestSchema, FORM, readPullRequest),
  'git.pullrequest.updated': reader(pullRequestSchema, FORM, readPullRequest),
  'build.complete': reader(buildSchema, FORM, ({ id, status, result, reason, definition, project, repository, sourceBranch, sourceVersion }) => {
    if (status !== 'completed' || result !== 'succeeded') return { ignored: `The build is ${status}, ${result}, and not a success.` };
    const isAnew = isRunAnew(reason);
    if (!sourceBranch.startsWith(HEADS) || isAnew === null) return { ignored: `A build for "${reason}" of "${sourceBranch}" is none of a branch.` };
    const guid = guidSchema.safeParse(repository.id).data;
    if (repository.type !== 'TfsGit' || guid === undefined) return { ignored: 'The repository of the build is none of Azure Repos.' };
    const change = {
      ...ofRepository({ id: guid, project }),
      event: 'build',
      commit: sourceVersion,
      branch: sourceBranch.slice(HEADS.length),
      workflow: String(definition.id),
      number: id,
      attempt: isAnew ? id : null,
    };
    return { changes: [change] };
  }),
};

function readPullRequest(request: z.infer<typeof pullRequestSchema>): Heard {
  const { repository, pullRequestId, status, targetRefName, lastMergeSourceCommit, forkSource } = request;
  if (status !== 'active') return { ignored: `The pull request is ${status}.` };
  if (forkSource != null) return { ignored: 'The pull request comes from a fork; nothing of a fork is ever run, rehearsed or fetched.' };
  if (!targetRefName.startsWith(HEADS)) return { ignored: `"${targetRefName}" is no branch.` };
  const branch = targetRefName.slice(HEADS.length);
  return { changes: [{ ...ofRepository(repository), event: 'pull_request', commit: lastMergeSourceCommit.commitId, branch, number: pullRequestId }] };
}

/** Found only by ids: `PROJECT/REPOSITORY`. For a build, the project is the build's own. */
function ofRepository({ id, project }: z.infer<typeof repositorySchema>): Omit<Change, 'event' | 'commit'> {
  return { repository: { id, name: `${project.id}/${id}` }, branch: null, environment: null, workflow: null, number: null, attempt: null };
}
