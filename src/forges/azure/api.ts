/**
 * Azure DevOps' REST API (7.1) as far as Weft uses it; paths and bodies are those of learn.microsoft.com/rest/api/azure/devops.
 * Repositories and projects are addressed by their ids, which are unique in an organisation and survive a rename.
 */
import { Buffer } from 'node:buffer';
import * as z from 'zod';
import type { GitEntry } from '../../bundle/git_tree.ts';
import { type Change, commitSchema } from '../../domain/change.ts';
import { Problem } from '../../domain/problem.ts';
import type { Asking, Question } from '../asking.ts';

const VERSION = '7.1';

const idSchema = z.int().min(1);
const guidSchema = z.string().transform((text) => text.toLowerCase());
const gitIdSchema = z.string().regex(/^[0-9a-f]{40}$/);
const commitRefSchema = z.object({ commitId: commitSchema });
const repositorySchema = z.object({ id: guidSchema, name: z.string(), project: z.object({ id: guidSchema }) });
const refsSchema = z.object({ value: z.array(z.object({ name: z.string(), objectId: commitSchema })) });
const pullRequestSchema = z.object({
  status: z.string(),
  repository: z.object({ id: guidSchema }),
  sourceRefName: z.string(),
  targetRefName: z.string(),
  lastMergeSourceCommit: commitRefSchema.nullish(),
  forkSource: z.unknown().optional(),
});
const iterationsSchema = z.object({ value: z.array(z.object({ id: idSchema, sourceRefCommit: commitRefSchema.nullish() })) });
const buildSchema = z.object({
  status: z.string(),
  result: z.string().nullish(),
  reason: z.string(),
  sourceBranch: z.string(),
  sourceVersion: z.string(),
  definition: z.object({ id: idSchema }),
  repository: z.object({ id: guidSchema, type: z.string() }),
});
const commitAnswerSchema = z.object({ commitId: commitSchema, treeId: gitIdSchema });
const treeSchema = z.object({
  treeEntries: z.array(z.object({ objectId: gitIdSchema, relativePath: z.string(), mode: z.string().regex(/^[0-7]{5,6}$/), size: z.int().min(0).nullish() })),
});
const statusSchema = z.object({ createdBy: z.object({ id: guidSchema }) });
const threadSchema = z.object({
  id: idSchema,
  isDeleted: z.boolean().nullish(),
  comments: z
    .array(z.object({ id: idSchema, content: z.string().nullish(), isDeleted: z.boolean().nullish(), author: z.object({ id: guidSchema }).nullish() }))
    .nullish(),
});
const threadsSchema = z.object({ value: z.array(threadSchema) });
const anySchema = z.object({});

export type Thread = z.infer<typeof threadSchema>;
/** What a status says. */
export interface Status {
  readonly state: 'pending' | 'succeeded' | 'failed' | 'error';
  readonly description: string;
  readonly context: { readonly genre: string; readonly name: string };
}

export class AzureApi {
  readonly #asking: Asking;
  readonly #authorization: string;

  /** @param token a personal access token: a password without a user */
  constructor(asking: Asking, token: string) {
    this.#asking = asking;
    this.#authorization = `Basic ${Buffer.from(`:${token}`).toString('base64')}`;
  }

  repository(change: Change) {
    return this.#find(repositorySchema, ofRepository(change, ''));
  }

  async branchHead(change: Change, branch: string): Promise<string | null> {
    // All whose names begin so.
    const found = await this.#find(refsSchema, `${ofRepository(change, '/refs')}?filter=${encodeURIComponent(`heads/${branch}`)}`);
    return found?.value.find(({ name }) => name === `refs/heads/${branch}`)?.objectId ?? null;
  }

  pullRequest(change: Change, number: number) {
    return this.#find(pullRequestSchema, ofRepository(change, `/pullRequests/${number}`));
  }

  /** @param change whose project is that of the build */
  build(change: Change, number: number) {
    return this.#find(buildSchema, `/${encodeURIComponent(change.repository.name.split('/')[0] ?? '')}/_apis/build/builds/${number}`);
  }

  /** The id of the tree of the commit; the commit is the one that was asked for. */
  async treeOf(change: Change): Promise<string> {
    const { commitId, treeId } = await this.#ask(commitAnswerSchema, { path: ofRepository(change, `/commits/${change.commit}`) });
    if (commitId === change.commit) return treeId;
    throw new Problem('forge_refused', `Azure DevOps has answered with commit ${commitId}, and ${change.commit} was asked for.`);
  }

  async listTree(change: Change, tree: string, deep: boolean): Promise<GitEntry[]> {
    const { treeEntries } = await this.#ask(treeSchema, { path: `${ofRepository(change, `/trees/${tree}`)}${deep ? '?recursive=true' : ''}` });
    return treeEntries.map(({ relativePath, mode, objectId, size }) => ({ path: relativePath, mode: mode.replace(/^0+/, ''), id: objectId, size: size ?? 0 }));
  }

  openBlobs(change: Change, ids: readonly string[]): Promise<ReadableStream<Uint8Array>> {
    return this.#asking.openArchive(this.#question({ method: 'POST', path: ofRepository(change, '/blobs'), body: ids, accept: 'application/zip' }));
  }

  openBlob(change: Change, id: string): Promise<ReadableStream<Uint8Array>> {
    const path = `${ofRepository(change, `/blobs/${id}`)}?$format=octetStream`;
    return this.#asking.openArchive(this.#question({ path, accept: 'application/octet-stream' }));
  }

  /** @returns the id of whoever the token belongs to */
  async setCommitStatus(change: Change, status: Status): Promise<string> {
    const path = ofRepository(change, `/commits/${change.commit}/statuses`);
    return (await this.#ask(statusSchema, { method: 'POST', path, body: status })).createdBy.id;
  }

  /** @param iteration of the pull request to which it belongs; null: to all @returns as setCommitStatus does */
  async setPullRequestStatus(change: Change, number: number, iteration: number | null, status: Status): Promise<string> {
    const path = ofRepository(change, `/pullRequests/${number}/statuses`);
    const body = { ...status, ...(iteration === null ? {} : { iterationId: iteration }) };
    return (await this.#ask(statusSchema, { method: 'POST', path, body })).createdBy.id;
  }

  /** The newest iteration of a pull request whose head is the commit; null when there is none. */
  async iteration(change: Change, number: number): Promise<number | null> {
    const { value } = await this.#ask(iterationsSchema, { path: ofRepository(change, `/pullRequests/${number}/iterations`) });
    return value.findLast(({ sourceRefCommit }) => sourceRefCommit?.commitId === change.commit)?.id ?? null;
  }

  async threads(change: Change, number: number): Promise<Thread[]> {
    return (await this.#ask(threadsSchema, { path: ofRepository(change, `/pullRequests/${number}/threads`) })).value;
  }

  createThread(change: Change, number: number, content: string, status: string): Promise<Thread> {
    const body = { comments: [{ parentCommentId: 0, content, commentType: 'text' }], status };
    return this.#ask(threadSchema, { method: 'POST', path: ofRepository(change, `/pullRequests/${number}/threads`), body });
  }

  /** @returns whether it was there to be changed */
  async updateComment(change: Change, number: number, thread: number, comment: number, content: string): Promise<boolean> {
    const path = ofRepository(change, `/pullRequests/${number}/threads/${thread}/comments/${comment}`);
    return (await this.#asking.askIfThere(this.#question({ method: 'PATCH', path, body: { content } }))) !== null;
  }

  async deleteComment(change: Change, number: number, thread: number, comment: number): Promise<void> {
    const path = ofRepository(change, `/pullRequests/${number}/threads/${thread}/comments/${comment}`);
    await this.#asking.askIfThere(this.#question({ method: 'DELETE', path }));
  }

  async updateThread(change: Change, number: number, thread: number, status: string): Promise<void> {
    await this.#ask(anySchema, { method: 'PATCH', path: ofRepository(change, `/pullRequests/${number}/threads/${thread}`), body: { status } });
  }

  async #ask<Schema extends z.ZodType>(schema: Schema, question: Omit<Question, 'authorization'>): Promise<z.infer<Schema>> {
    return readForm(schema, await this.#asking.ask(this.#question(question)), question.path);
  }

  async #find<Schema extends z.ZodType>(schema: Schema, path: string): Promise<z.infer<Schema> | null> {
    const answer = await this.#asking.askIfThere(this.#question({ path }));
    return answer === null ? null : readForm(schema, answer, path);
  }

  #question(question: Omit<Question, 'authorization'>): Question {
    const { path } = question;
    return { ...question, path: `${path}${path.includes('?') ? '&' : '?'}api-version=${VERSION}`, authorization: this.#authorization };
  }
}

function ofRepository({ repository }: Change, rest: string): string {
  return `/_apis/git/repositories/${encodeURIComponent(repository.id)}${rest}`;
}

function readForm<Schema extends z.ZodType>(schema: Schema, value: unknown, path: string): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const key = parsed.error.issues[0]?.path.join('.');
  throw new Problem('forge_refused', `Azure DevOps has answered ${path.replace(/\?.*$/, '')} in a form that is not known here (${key}).`);
}
