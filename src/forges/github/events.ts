/**
 * What GitHub's webhooks say (docs.github.com, "Webhook events and payloads"). The name of an event is in a header that is not signed:
 * so each event is read by a form that no other event has, and one that an attacker gives another name fits none. Unknown keys are
 * skipped.
 */
import * as z from 'zod';
import { parseStrictJson } from '../../config/strict_json.ts';
import { type Change, commitSchema } from '../../domain/change.ts';
import { Problem } from '../../domain/problem.ts';
import type { Delivery, Heard } from '../forge.ts';
import { branchSchema, momentOf } from '../forms.ts';

const idSchema = z.int().min(1);

/** A name by which the API finds it: it becomes a part of a path. */
const repositorySchema = z.object({
  id: idSchema,
  full_name: z.string().regex(/^(?!\.{1,2}\/)[A-Za-z0-9._-]{1,100}\/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$/, 'owner/name'),
});

/** Keys by which another event would be told: they must not be there. */
const absent = z.undefined().optional();

const pushSchema = z.object({
  ref: z.string(),
  after: commitSchema,
  deleted: z.boolean().default(false),
  repository: repositorySchema,
  pull_request: absent,
  deployment: absent,
  workflow_run: absent,
});

const pullRequestSchema = z.object({
  action: z.string(),
  number: idSchema,
  pull_request: z.object({
    updated_at: z.string().max(64).nullish(),
    head: z.object({ sha: commitSchema, repo: z.object({ id: idSchema }).nullable() }),
    base: z.object({ ref: branchSchema, repo: z.object({ id: idSchema }) }),
  }),
  repository: repositorySchema,
  review: absent,
  comment: absent,
  thread: absent,
});

const deploymentSchema = z.object({
  action: z.literal('created'),
  deployment: z.object({ id: idSchema, sha: commitSchema, ref: branchSchema, environment: z.string().min(1).max(255) }),
  repository: repositorySchema,
  /** The job for which GitHub has made it; null if somebody has made it through the API. */
  workflow_run: z.unknown().optional(),
  deployment_status: absent,
  check_run: absent,
  deployment_callback_url: absent,
});

const workflowRunSchema = z.object({
  action: z.string(),
  workflow_run: z.object({
    id: idSchema,
    run_attempt: z.int().min(1),
    head_sha: commitSchema,
    head_branch: branchSchema.nullable(),
    head_repository: z.object({ id: idSchema }).nullable(),
    event: z.string(),
    conclusion: z.string().nullable(),
    path: z.string().max(1024),
  }),
  repository: repositorySchema,
  deployment: absent,
});

const protectionRuleSchema = z.object({
  action: z.literal('requested'),
  environment: z.string().min(1).max(255),
  deployment_callback_url: z.string().max(2048),
  deployment: z.object({ id: idSchema, sha: commitSchema, environment: z.string() }),
  repository: repositorySchema,
  deployment_status: absent,
  workflow_run: absent,
});

/** A job that waited for its reviewers: no other event has `since`, and what has waited. */
const reviewSchema = z.object({
  action: z.string(),
  since: z.string(),
  workflow_run: z.object({ id: idSchema, head_sha: commitSchema }),
  workflow_job_run: z.object({ environment: z.string().min(1).max(255) }).nullish(),
  workflow_job_runs: z
    .array(z.object({ environment: z.string().min(1).max(255) }))
    .max(256)
    .nullish(),
  repository: repositorySchema,
  deployment: absent,
  pull_request: absent,
});

const pingSchema = z.object({ zen: z.string(), hook_id: idSchema });

/** After these a pull request has another head than before, or is open again. */
const NEW_HEADS: readonly string[] = ['opened', 'reopened', 'synchronize'];
/** What runs for a branch of the repository itself, by somebody who may write to it. */
export const OWN_RUNS: readonly string[] = ['push', 'workflow_dispatch', 'schedule'];

/** @throws Problem unsigned without the header that names the event */
export function readEventName(headers: Headers): string {
  const name = headers.get('x-github-event');
  if (name !== null && /^[a-z_]{1,64}$/.test(name)) return name;
  throw new Problem('unsigned', 'There is no header X-GitHub-Event with the name of an event: this is none of GitHub’s deliveries.');
}

/**
 * @param delivery that was proved
 * @throws Problem unsupported_media_type (a form); malformed_json; invalid_request when the body is not what an event of this name has
 */
export function readEvent({ headers, body }: Delivery): Heard {
  const type = (headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  if (type === 'application/x-www-form-urlencoded') {
    throw new Problem(
      'unsupported_media_type',
      'The webhook sends a form (application/x-www-form-urlencoded), as GitHub does where nothing else is chosen. Set its content type to application/json at GitHub, and deliver it again.',
      { content_type: type },
    );
  }
  const name = readEventName(headers);
  const read = Object.hasOwn(READERS, name) ? READERS[name] : undefined;
  if (read === undefined) return { ignored: `The event "${name}" is none that deployments follow from.` };
  return read(parseStrictJson(body, 'The body of the webhook'));
}

const READERS: Readonly<Record<string, (value: unknown) => Heard>> = {
  ping(value) {
    parse(pingSchema, 'ping', value);
    return { ignored: 'The webhook is set up, and its secret is the right one.' };
  },
  push(value) {
    const { ref, after, deleted, repository } = parse(pushSchema, 'push', value);
    if (!ref.startsWith('refs/heads/')) return { ignored: `"${ref}" is no branch.` };
    if (deleted || /^0+$/.test(after)) return { ignored: 'The branch was deleted.' };
    const branch = parse(branchSchema, 'push', ref.slice('refs/heads/'.length));
    return { changes: [{ ...ofRepository(repository), event: 'push', commit: after, branch }] };
  },
  pull_request(value) {
    const { action, number, pull_request, repository } = parse(pullRequestSchema, 'pull_request', value);
    const { head, base, updated_at } = pull_request;
    if (!NEW_HEADS.includes(action)) return { ignored: `The action "${action}" of a pull request gives it no other head.` };
    if (head.repo?.id !== repository.id || base.repo.id !== repository.id)
      return { ignored: 'The pull request comes from a fork; nothing of a fork is ever run, rehearsed or fetched.' };
    return {
      changes: [
        {
          ...ofRepository(repository),
          event: 'pull_request',
          commit: head.sha,
          branch: base.ref,
          number,
          attempt: action === 'reopened' ? momentOf(updated_at) : null,
        },
      ],
    };
  },
  deployment(value) {
    const { deployment, repository, workflow_run } = parse(deploymentSchema, 'deployment', value);
    // It is there before anybody has said that the job may start.
    if (workflow_run != null) return { ignored: 'The deployment belongs to a job of a workflow; "workflow_run" follows those.' };
    const { id, sha, ref, environment } = deployment;
    return { changes: [{ ...ofRepository(repository), event: 'deployment', commit: sha, branch: ref, environment, number: id, attempt: id }] };
  },
  deployment_protection_rule(value): Heard {
    const { environment, deployment, deployment_callback_url, repository } = parse(protectionRuleSchema, 'deployment_protection_rule', value);
    const run = /\/actions\/runs\/([1-9]\d{0,15})\/deployment_protection_rule$/.exec(deployment_callback_url)?.[1];
    if (run === undefined) return { ignored: 'Its deployment_callback_url is of no run of a workflow.' };
    return {
      changes: [
        {
          ...ofRepository(repository),
          event: 'deployment_protection_rule',
          commit: deployment.sha,
          environment,
          number: Number(run),
          attempt: deployment.id,
          answer_to: deployment_callback_url,
        },
      ],
    };
  },
  deployment_review(value): Heard {
    const { action, workflow_run: run, workflow_job_run: job, workflow_job_runs: jobs, repository } = parse(reviewSchema, 'deployment_review', value);
    if (action !== 'approved') return { ignored: `The review is "${action}", and approves nothing.` };
    const environments = new Set([...(job ? [job] : []), ...(jobs ?? [])].map(({ environment }) => environment));
    if (environments.size === 0) return { ignored: 'The review says of no environment that it was approved.' };
    const of = { ...ofRepository(repository), event: 'deployment_review', commit: run.head_sha, number: run.id };
    return { changes: [...environments].map((environment) => ({ ...of, environment })) };
  },
  workflow_run(value) {
    const { action, workflow_run: run, repository } = parse(workflowRunSchema, 'workflow_run', value);
    if (action !== 'completed' || run.conclusion !== 'success')
      return { ignored: `The run of the workflow is ${run.conclusion ?? action}, and not a success.` };
    if (run.head_repository?.id !== repository.id || !OWN_RUNS.includes(run.event) || run.head_branch === null)
      return { ignored: `A run for "${run.event}" is none of a branch of this repository.` };
    return {
      changes: [
        {
          ...ofRepository(repository),
          event: 'workflow_run',
          commit: run.head_sha,
          branch: run.head_branch,
          workflow: fileOf(run.path),
          number: run.id,
          attempt: run.run_attempt > 1 ? run.run_attempt : null,
        },
      ],
    };
  },
};

/** The file of a workflow, without its ref. */
export function fileOf(path: string): string {
  return path.replace(/@.*$/, '');
}

function parse<Schema extends z.ZodType>(schema: Schema, name: string, value: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Problem('invalid_request', `The body is not that of the event "${name}": ${issue?.path.join('.')}: ${issue?.message}. Nothing was done.`, {
    path: issue?.path.join('.') ?? '',
  });
}

function ofRepository({ id, full_name }: z.infer<typeof repositorySchema>): Omit<Change, 'event' | 'commit'> {
  return { repository: { id: String(id), name: full_name }, branch: null, environment: null, workflow: null, number: null, attempt: null };
}
