/**
 * GitLab's REST API (v4) as far as Weft asks it; paths and bodies are those of docs.gitlab.com/api. A project is always asked for by its id, which
 * no rename changes.
 */
import * as z from 'zod';
import { type Change, commitSchema } from '../../domain/change.ts';
import { Problem } from '../../domain/problem.ts';
import type { Asking, Question } from '../asking.ts';

const idSchema = z.int().min(1);
const branchSchema = z.object({ commit: z.object({ id: commitSchema }) });
const mergeRequestSchema = z.object({ state: z.string(), sha: commitSchema.nullable(), source_project_id: idSchema.nullable(), target_branch: z.string() });
const pipelineSchema = z.object({ status: z.string(), sha: commitSchema, ref: z.string(), source: z.string().nullish() });
const deploymentSchema = z.object({
  id: idSchema,
  sha: commitSchema,
  ref: z.string(),
  status: z.string(),
  environment: z.object({ name: z.string() }),
  deployable: z.unknown().optional(),
});
const createdSchema = z.object({ id: idSchema });
const notesSchema = z.array(
  z.object({ id: idSchema, body: z.string().nullish(), system: z.boolean().nullish(), author: z.object({ id: idSchema }).nullish() }),
);
const projectSchema = z.object({ id: idSchema, path: z.string() });

export type Note = z.infer<typeof notesSchema>[number];

export class GitLabApi {
  readonly #asking: Asking;
  readonly #authorization: string;

  constructor(asking: Asking, token: string) {
    this.#asking = asking;
    this.#authorization = `Bearer ${token}`;
  }

  async branchHead(change: Change, branch: string): Promise<string | null> {
    const found = await this.#find(branchSchema, change, `/repository/branches/${encodeURIComponent(branch)}`);
    return found?.commit.id ?? null;
  }

  mergeRequest(change: Change, number: number) {
    return this.#find(mergeRequestSchema, change, `/merge_requests/${number}`);
  }

  pipeline(change: Change, id: number) {
    return this.#find(pipelineSchema, change, `/pipelines/${id}`);
  }

  deployment(change: Change, id: number) {
    return this.#find(deploymentSchema, change, `/deployments/${id}`);
  }

  /** The newest deployment of an environment. */
  async newestDeployment(change: Change, environment: string) {
    const query = `environment=${encodeURIComponent(environment)}&order_by=id&sort=desc&per_page=1`;
    return (await this.#find(z.array(deploymentSchema), change, `/deployments?${query}`))?.[0] ?? null;
  }

  /** What the project's own folder would be called. */
  async projectPath(change: Change): Promise<string> {
    return (await this.#ask(projectSchema, change, { path: '' })).path;
  }

  openArchive(change: Change): Promise<ReadableStream<Uint8Array>> {
    return this.#asking.openArchive(this.#question(change, { path: `/repository/archive.tar.gz?sha=${change.commit}` }));
  }

  async setCommitStatus(change: Change, body: object): Promise<void> {
    await this.#ask(z.object({}), change, { method: 'POST', path: `/statuses/${change.commit}`, body });
  }

  async setDeploymentStatus(change: Change, id: number, status: string): Promise<void> {
    await this.#ask(createdSchema, change, { method: 'PUT', path: `/deployments/${id}`, body: { status } });
  }

  /** A page of a hundred notes of a merge request. */
  notes(change: Change, number: number, page: number): Promise<Note[]> {
    return this.#ask(notesSchema, change, { path: `/merge_requests/${number}/notes?per_page=100&page=${page}&sort=asc` });
  }

  async createNote(change: Change, number: number, body: string): Promise<number> {
    return (await this.#ask(createdSchema, change, { method: 'POST', path: `/merge_requests/${number}/notes`, body: { body } })).id;
  }

  /** @returns whether it was there to be changed */
  async updateNote(change: Change, number: number, id: number, body: string): Promise<boolean> {
    const question = this.#question(change, { method: 'PUT', path: `/merge_requests/${number}/notes/${id}`, body: { body } });
    return (await this.#asking.askIfThere(question)) !== null;
  }

  async deleteNote(change: Change, number: number, id: number): Promise<void> {
    await this.#asking.askIfThere(this.#question(change, { method: 'DELETE', path: `/merge_requests/${number}/notes/${id}` }));
  }

  async createCommitComment(change: Change, note: string): Promise<void> {
    await this.#ask(z.object({}), change, { method: 'POST', path: `/repository/commits/${change.commit}/comments`, body: { note } });
  }

  /** The id of whoever the token belongs to. */
  async ownUserId(): Promise<number> {
    return readForm(createdSchema, await this.#asking.ask({ path: '/user', authorization: this.#authorization }), '/user').id;
  }

  async #ask<Schema extends z.ZodType>(schema: Schema, change: Change, question: Omit<Question, 'authorization'>): Promise<z.infer<Schema>> {
    return readForm(schema, await this.#asking.ask(this.#question(change, question)), question.path);
  }

  async #find<Schema extends z.ZodType>(schema: Schema, change: Change, path: string): Promise<z.infer<Schema> | null> {
    const answer = await this.#asking.askIfThere(this.#question(change, { path }));
    return answer === null ? null : readForm(schema, answer, path);
  }

  #question(change: Change, question: Omit<Question, 'authorization'>): Question {
    return { ...question, path: `/projects/${encodeURIComponent(change.repository.id)}${question.path}`, authorization: this.#authorization };
  }
}

function readForm<Schema extends z.ZodType>(schema: Schema, value: unknown, path: string): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const key = parsed.error.issues[0]?.path.join('.');
  throw new Problem('forge_refused', `GitLab has answered ${path.replace(/\?.*$/, '') || 'for the project'} in a form that is not known here (${key}).`);
}
