/**
 * GitHub's REST API as far as Weft asks it: one method for each thing that is asked or told, each answer read by its form. Paths and bodies
 * are those of docs.github.com/rest, version 2022-11-28.
 */
import * as z from 'zod';
import type { Change } from '../../domain/change.ts';
import { commitSchema } from '../../domain/change.ts';
import { Problem } from '../../domain/problem.ts';
import type { Asking, Question } from '../asking.ts';

const idSchema = z.int().min(1);
const refSchema = z.object({ object: z.object({ sha: commitSchema }) });
const repositorySchema = z.object({ id: idSchema });
const pullSchema = z.object({
  state: z.string(),
  head: z.object({ sha: commitSchema, repo: z.object({ id: idSchema }).nullable() }),
  base: z.object({ ref: z.string() }),
});
const deploymentSchema = z.object({ id: idSchema, sha: commitSchema, ref: z.string(), environment: z.string() });
const statusesSchema = z.array(z.object({ state: z.string() }));
const runSchema = z.object({
  head_sha: commitSchema,
  head_branch: z.string().nullable(),
  head_repository: z.object({ id: idSchema }).nullable(),
  event: z.string(),
  path: z.string(),
  conclusion: z.string().nullable(),
  run_attempt: z.int(),
});
const waitingRunSchema = z.object({ head_sha: commitSchema, head_repository: z.object({ id: idSchema }).nullable() });
const reviewedRunSchema = waitingRunSchema.extend({
  status: z.string(),
  run_attempt: z.int(),
  actor: z.object({ id: idSchema }).nullable(),
  triggering_actor: z.object({ id: idSchema }).nullable(),
});
const reviewsSchema = z.array(
  z.object({ state: z.string(), user: z.object({ id: idSchema }).nullable(), environments: z.array(z.object({ name: z.string() })) }),
);
const pendingSchema = z.array(z.object({ environment: z.object({ name: z.string() }) }));
const checkRunSchema = z.object({
  id: idSchema,
  status: z.string(),
  external_id: z.string().nullish(),
  output: z.object({ annotations_count: z.int().nullish() }).nullish(),
});
const checkRunsSchema = z.object({ check_runs: z.array(checkRunSchema) });
const treeSchema = z.object({
  tree: z.array(z.object({ path: z.string(), type: z.string(), sha: commitSchema, size: z.int().min(0).optional() })),
  truncated: z.boolean(),
});
const createdSchema = z.object({ id: idSchema });
const anySchema = z.object({});
const commentsSchema = z.array(
  z.object({
    id: idSchema,
    body: z.string().nullish(),
    user: z.object({ id: idSchema }).nullish(),
    performed_via_github_app: z.object({ id: idSchema }).nullish(),
  }),
);

export type WaitingRun = z.infer<typeof waitingRunSchema>;
export interface FoundCheckRun {
  readonly id: number;
  readonly isOpen: boolean;
  /** Whether it has remarks at lines. */
  readonly isRemarked: boolean;
}
export type Comment = z.infer<typeof commentsSchema>[number];

export class GitHubApi {
  readonly #asking: Asking;
  readonly #authorize: (repository: string) => Promise<string>;

  /** @param authorize what proves Weft to the API for the repository of this id */
  constructor(asking: Asking, authorize: (repository: string) => Promise<string>) {
    this.#asking = asking;
    this.#authorize = authorize;
  }

  /** The id of whatever repository has this name now; null when none has. */
  async repositoryId(change: Change): Promise<string | null> {
    const found = await this.#find(repositorySchema, change, { path: '' });
    return found === null ? null : String(found.id);
  }

  async branchHead(change: Change, branch: string): Promise<string | null> {
    const found = await this.#find(refSchema, change, { path: `/git/ref/heads/${encodePath(branch)}` });
    return found?.object.sha ?? null;
  }

  async isTag(change: Change, name: string): Promise<boolean> {
    return (await this.#find(anySchema, change, { path: `/git/ref/tags/${encodePath(name)}` })) !== null;
  }

  pullRequest(change: Change, number: number) {
    return this.#find(pullSchema, change, { path: `/pulls/${number}` });
  }

  deployment(change: Change, id: number) {
    return this.#find(deploymentSchema, change, { path: `/deployments/${id}` });
  }

  /** The newest deployment of an environment. */
  async newestDeployment(change: Change, environment: string) {
    const found = await this.#find(z.array(deploymentSchema), change, {
      path: `/deployments?environment=${encodeURIComponent(environment)}&per_page=1`,
    });
    return found?.[0] ?? null;
  }

  /** States of a deployment, the newest first. */
  async deploymentStates(change: Change, id: number): Promise<string[]> {
    return (await this.#ask(statusesSchema, change, { path: `/deployments/${id}/statuses?per_page=100` })).map(({ state }) => state);
  }

  workflowRun(change: Change, id: number) {
    return this.#find(runSchema, change, { path: `/actions/runs/${id}` });
  }

  /** A run as far as it is known by which commit its jobs are of, and from whose repository. */
  waitingRun(change: Change, id: number) {
    return this.#find(waitingRunSchema, change, { path: `/actions/runs/${id}` });
  }

  /** The same, with those who have started it, and started it again. */
  reviewedRun(change: Change, id: number) {
    return this.#find(reviewedRunSchema, change, { path: `/actions/runs/${id}` });
  }

  /** What reviewers have said about the jobs of a run: without a time, and without the attempt. */
  async reviewsOf(change: Change, id: number) {
    return (await this.#find(reviewsSchema, change, { path: `/actions/runs/${id}/approvals` })) ?? [];
  }

  /** The environments whose rules a run waits for. */
  async pendingEnvironments(change: Change, run: number): Promise<string[]> {
    const found = await this.#find(pendingSchema, change, { path: `/actions/runs/${run}/pending_deployments` });
    return found?.map(({ environment }) => environment.name) ?? [];
  }

  /** Where a run's question is answered, from the configured root of the API on: the answer goes nowhere else, whatever an event says. */
  isAnsweredAt(change: Change, run: number, address: string): boolean {
    return address === `${this.#asking.api}${pathOfRule(change, run)}`;
  }

  async answerProtectionRule(change: Change, run: number, body: object): Promise<void> {
    await this.#ask(anySchema, change, { method: 'POST', path: `/actions/runs/${run}/deployment_protection_rule`, body });
  }

  /** The files of a folder at the commit, by path in it, with their sizes; null where there is no such folder, or GitHub does not list it whole. */
  async listFolder(change: Change, folder: string): Promise<ReadonlyMap<string, number> | null> {
    let id = change.commit;
    for (const part of folder === '' ? [] : folder.split('/')) {
      const { tree } = await this.#ask(treeSchema, change, { path: `/git/trees/${id}` });
      const found = tree.find(({ path, type }) => path === part && type === 'tree');
      if (found === undefined) return null;
      id = found.sha;
    }
    const { tree, truncated } = await this.#ask(treeSchema, change, { path: `/git/trees/${id}?recursive=1` });
    return truncated ? null : new Map(tree.flatMap(({ path, type, size }) => (type === 'blob' && size !== undefined ? [[path, size]] : [])));
  }

  async openArchive(change: Change): Promise<ReadableStream<Uint8Array>> {
    return this.#asking.openArchive(await this.#question(change, { path: `/tarball/${change.commit}` }));
  }

  /** The check runs of this commit that have this name and our mark, the newest first. */
  async findCheckRuns(change: Change, name: string, externalId: string): Promise<FoundCheckRun[]> {
    const path = `/commits/${change.commit}/check-runs?check_name=${encodeURIComponent(name)}&filter=all&per_page=100`;
    const found = await this.#find(checkRunsSchema, change, { path });
    const own = found?.check_runs.filter(({ external_id }) => external_id === externalId) ?? [];
    return own
      .sort((a, b) => b.id - a.id)
      .map(({ id, status, output }) => ({ id, isOpen: status !== 'completed', isRemarked: (output?.annotations_count ?? 0) > 0 }));
  }

  async createCheckRun(change: Change, body: object): Promise<number> {
    return (await this.#ask(createdSchema, change, { method: 'POST', path: '/check-runs', body })).id;
  }

  async updateCheckRun(change: Change, id: number, body: object): Promise<void> {
    await this.#ask(createdSchema, change, { method: 'PATCH', path: `/check-runs/${id}`, body });
  }

  async setCommitStatus(change: Change, body: object): Promise<void> {
    await this.#ask(anySchema, change, { method: 'POST', path: `/statuses/${change.commit}`, body });
  }

  async setDeploymentStatus(change: Change, id: number, body: object): Promise<void> {
    await this.#ask(createdSchema, change, { method: 'POST', path: `/deployments/${id}/statuses`, body });
  }

  /** A page of a hundred comments of a pull request, oldest first. */
  comments(change: Change, number: number, page: number): Promise<Comment[]> {
    return this.#ask(commentsSchema, change, { path: `/issues/${number}/comments?per_page=100&page=${page}` });
  }

  async createComment(change: Change, number: number, body: string): Promise<number> {
    return (await this.#ask(createdSchema, change, { method: 'POST', path: `/issues/${number}/comments`, body: { body } })).id;
  }

  /** @returns whether it was there to be changed */
  async updateComment(change: Change, id: number, body: string): Promise<boolean> {
    return (await this.#find(createdSchema, change, { method: 'PATCH', path: `/issues/comments/${id}`, body: { body } })) !== null;
  }

  async deleteComment(change: Change, id: number): Promise<void> {
    await this.#find(anySchema, change, { method: 'DELETE', path: `/issues/comments/${id}` });
  }

  /** The id of whoever the token belongs to. */
  async ownUserId(change: Change): Promise<number> {
    const answer = await this.#asking.ask({ path: '/user', authorization: await this.#authorize(change.repository.id) });
    return readForm(createdSchema, answer, '/user').id;
  }

  async #ask<Schema extends z.ZodType>(schema: Schema, change: Change, question: Omit<Question, 'authorization'>): Promise<z.infer<Schema>> {
    return readForm(schema, await this.#asking.ask(await this.#question(change, question)), question.path);
  }

  async #find<Schema extends z.ZodType>(schema: Schema, change: Change, question: Omit<Question, 'authorization'>): Promise<z.infer<Schema> | null> {
    const answer = await this.#asking.askIfThere(await this.#question(change, question));
    return answer === null ? null : readForm(schema, answer, question.path);
  }

  async #question(change: Change, question: Omit<Question, 'authorization'>): Promise<Question> {
    const authorization = await this.#authorize(change.repository.id);
    return { ...question, path: `/repos/${encodePath(change.repository.name)}${question.path}`, authorization };
  }
}

function pathOfRule({ repository }: Change, run: number): string {
  return `/repos/${encodePath(repository.name)}/actions/runs/${run}/deployment_protection_rule`;
}

function readForm<Schema extends z.ZodType>(schema: Schema, value: unknown, path: string): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const key = parsed.error.issues[0]?.path.join('.');
  throw new Problem('forge_refused', `GitHub has answered ${path.replace(/\?.*$/, '') || 'for the repository'} in a form that is not known here (${key}).`);
}

/** Each part of a path, encoded; the "/" between them stay. @throws Problem forge_refused for a part that leads elsewhere */
function encodePath(path: string): string {
  const parts = path.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..'))
    throw new Problem('forge_refused', 'GitHub is not asked for a name that leads elsewhere.');
  return parts.map(encodeURIComponent).join('/');
}
