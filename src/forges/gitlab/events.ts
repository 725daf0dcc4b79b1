/**
 * What GitLab's webhooks say (docs.gitlab.com, "Webhook events"). The kind of the event is in the body, which the proof covers. GitLab
 * disables a webhook that is answered with an error a few times: so what cannot be read is ignored, with the reason.
 */
import * as z from 'zod';
import { parseStrictJson } from '../../config/strict_json.ts';
import { type Change, commitSchema } from '../../domain/change.ts';
import type { Delivery, Heard } from '../forge.ts';
import { branchSchema, momentOf, reader } from '../forms.ts';

const FORM = 'what such an event has';

const idSchema = z.int().min(1);
const projectSchema = z.object({ id: idSchema, path_with_namespace: z.string().max(512) });

const kindSchema = z.object({ object_kind: z.string().max(64) });

const pushSchema = z.object({ ref: branchSchema, after: commitSchema, project: projectSchema });

const mergeRequestSchema = z.object({
  project: projectSchema,
  object_attributes: z.object({
    iid: idSchema,
    action: z.string().nullish(),
    updated_at: z.string().max(64).nullish(),
    /** There when an update has brought commits. */
    oldrev: z.string().nullish(),
    source_project_id: idSchema.nullable(),
    target_project_id: idSchema,
    target_branch: branchSchema,
    last_commit: z.object({ id: commitSchema }),
  }),
});

const pipelineSchema = z.object({
  project: projectSchema,
  object_attributes: z.object({ id: idSchema, ref: branchSchema, tag: z.boolean(), sha: commitSchema, status: z.string(), source: z.string().nullish() }),
});

const deploymentSchema = z.object({
  project: projectSchema,
  status: z.string(),
  deployment_id: idSchema,
  /** The job that deploys; null if somebody has made the deployment through the API. */
  deployable_id: idSchema.nullish(),
  environment: z.string().min(1).max(255),
  ref: branchSchema,
  commit_url: z.string(),
});

/** By somebody who may write to the project, for a branch of it. */
const FIRST_RUNS: readonly string[] = ['push'];
const RUNS_ANEW: readonly string[] = ['web', 'schedule', 'api', 'trigger', 'chat'];

/** @returns whether a pipeline was requested again; null for one that is not of a branch of the project itself */
export function isRunAnew(source: string | null | undefined): boolean | null {
  if (RUNS_ANEW.includes(source ?? '')) return true;
  return FIRST_RUNS.includes(source ?? '') ? false : null;
}

/**
 * @param delivery that was proved
 * @throws Problem malformed_json
 */
export function readEvent({ body }: Delivery): Heard {
  const value = parseStrictJson(body, 'The body of the webhook');
  const kind = kindSchema.safeParse(value).data?.object_kind ?? '';
  const read = Object.hasOwn(READERS, kind) ? READERS[kind] : undefined;
  if (read === undefined) return { ignored: `The event "${kind}" is none that deployments follow from.` };
  return read(value);
}

const READERS: Readonly<Record<string, (value: unknown) => Heard>> = {
  push: reader(pushSchema, FORM, ({ ref, after, project }) => {
    if (!ref.startsWith('refs/heads/')) return { ignored: `"${ref}" is no branch.` };
    if (/^0+$/.test(after)) return { ignored: 'The branch was deleted.' };
    return { changes: [{ ...ofProject(project), event: 'push', commit: after, branch: ref.slice('refs/heads/'.length) }] };
  }),
  merge_request: reader(mergeRequestSchema, FORM, ({ project, object_attributes: request }) => {
    const { iid, action, updated_at, oldrev, source_project_id, target_project_id, target_branch, last_commit } = request;
    if (!(action === 'open' || action === 'reopen' || (action === 'update' && oldrev)))
      return { ignored: `The action "${action ?? ''}" of a merge request gives it no other head.` };
    if (source_project_id !== project.id || target_project_id !== project.id)
      return { ignored: 'The merge request comes from a fork; nothing of a fork is ever run, rehearsed or fetched.' };
    const attempt = action === 'reopen' ? momentOf(updated_at) : null;
    return { changes: [{ ...ofProject(project), event: 'merge_request', commit: last_commit.id, branch: target_branch, number: iid, attempt }] };
  }),
  pipeline: reader(pipelineSchema, FORM, ({ project, object_attributes: { id, ref, tag, sha, status, source } }) => {
    if (status !== 'success') return { ignored: `The pipeline is "${status}", and not a success.` };
    const isAnew = isRunAnew(source);
    if (tag || isAnew === null) return { ignored: `A pipeline for "${source ?? ''}" is none of a branch of this project.` };
    return { changes: [{ ...ofProject(project), event: 'pipeline', commit: sha, branch: ref, number: id, attempt: isAnew ? id : null }] };
  }),
  deployment: reader(deploymentSchema, FORM, ({ project, status, deployment_id, deployable_id, environment, ref, commit_url }) => {
    if (deployable_id != null) return { ignored: 'The deployment belongs to a job of a pipeline; "pipeline" follows those.' };
    if (status !== 'running') return { ignored: `The deployment is "${status}", and not begun just now.` };
    const commit = commitSchema.safeParse(/\/commit\/([0-9a-f]+)$/.exec(commit_url)?.[1]).data;
    if (commit === undefined) return { ignored: 'The deployment does not say of which commit it is.' };
    const number = deployment_id;
    return { changes: [{ ...ofProject(project), event: 'deployment', commit, branch: ref, environment, number, attempt: number }] };
  }),
};

function ofProject({ id, path_with_namespace }: z.infer<typeof projectSchema>): Omit<Change, 'event' | 'commit'> {
  return { repository: { id: String(id), name: path_with_namespace }, branch: null, environment: null, workflow: null, number: null, attempt: null };
}
