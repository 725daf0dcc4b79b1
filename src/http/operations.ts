/**
 * What a Worker answers to, in one list: the page for people and the description for programs (openapi.ts) are made from it, and a test
 * compares it with the routes. Schemas are those by which requests are read and rows are parsed.
 */
import * as z from 'zod';
import { approvalSchema } from '../domain/approval.ts';
import { changesSchema, deploymentSchema, deploymentStateSchema, driftSchema } from '../domain/deployment.ts';
import { foresightQuestionSchema, foresightSchema } from '../domain/foresight.ts';
import { forgottenSchema, historySchema } from '../domain/history.ts';
import { receiptSchema } from '../domain/receipt.ts';
import {
  acceptDriftRequestSchema,
  approveRequestSchema,
  cancelRequestSchema,
  deployRequestSchema,
  forgetRequestSchema,
  resumeRequestSchema,
  undoRequestSchema,
} from '../domain/request.ts';
import { laterSchema, undoPlanSchema } from '../domain/undo_plan.ts';

/** How far a deployment is that is not over, or a few words of it before its document is there. */
const acceptedSchema = z.looseObject({
  id: z.string(),
  state: deploymentStateSchema,
  target: z.string().nullable(),
  bundle: z.string().optional(),
  /** Whether it was opened by an earlier copy of the same request. */
  repeated: z.boolean().optional(),
  /** Whose approval it needs before it is run; null when it needs none. */
  approval: approvalSchema.nullish(),
  /** Artifacts of which the database lacks something. */
  missing: z.array(z.looseObject({ digest: z.string(), path: z.string(), size: z.int() })).optional(),
});

const healthSchema = z.strictObject({ status: z.enum(['ok', 'failing']), configuration: z.enum(['ok', 'not ok']), version: z.string() });

/** What follows from a webhook; with `ignored`, nothing does. */
const webhookAnswerSchema = z.discriminatedUnion('outcome', [
  z.strictObject({
    outcome: z.literal('accepted'),
    /** SHA-256 of the body that was sent. */
    delivery: z.string(),
    deployments: z.array(z.strictObject({ target: z.string(), folder: z.string().nullable(), commit: z.string(), queued: z.boolean() })),
  }),
  z.strictObject({ outcome: z.literal('ignored'), delivery: z.string(), reason: z.string() }),
]);

/** What is sent, as it may be written. */
export const REQUEST_SCHEMAS = {
  DeployRequest: deployRequestSchema,
  ResumeRequest: resumeRequestSchema,
  CancelRequest: cancelRequestSchema,
  UndoRequest: undoRequestSchema,
  ApproveRequest: approveRequestSchema,
  AcceptDriftRequest: acceptDriftRequestSchema,
  ForgetRequest: forgetRequestSchema,
  PlanQuestion: foresightQuestionSchema,
} as const;

/** What is answered. */
export const ANSWER_SCHEMAS = {
  Deployment: deploymentSchema,
  DeploymentList: z.looseObject({ deployments: z.array(deploymentSchema) }),
  Accepted: acceptedSchema,
  UndoPlan: undoPlanSchema,
  Later: laterSchema,
  Changes: changesSchema,
  Receipt: receiptSchema,
  Drift: driftSchema,
  Forgotten: forgottenSchema,
  History: historySchema,
  Plan: foresightSchema,
  WebhookAnswer: webhookAnswerSchema,
  Health: healthSchema,
} as const;

export interface Operation {
  /** The operationId. */
  readonly id: string;
  readonly method: 'get' | 'post';
  readonly path: string;
  /** In a few words. */
  readonly does: string;
  /** How who asks is known. */
  readonly proof: 'signature' | 'bearer' | 'webhook' | 'none';
  readonly body?: keyof typeof REQUEST_SCHEMAS;
  /** Media types in which the body may come beside application/json. */
  readonly alsoAs?: readonly string[];
  /** By status: the name of a schema, or the media type of what has none. */
  readonly answers: Readonly<Record<number, keyof typeof ANSWER_SCHEMAS | 'application/json' | 'text/event-stream' | 'text/html' | 'nothing'>>;
  /** Whether who asks for text/html gets a page for people. */
  readonly hasPage?: boolean;
  /** Names of PARAMETERS (openapi.ts), beside those in the path. */
  readonly takes?: readonly ('prefer' | 'limit' | 'bundle' | 'after' | 'number' | 'lastEventId' | 'ifNoneMatch')[];
}

const TARGET = '/v1/targets/{target}';
const ONE = `${TARGET}/deployments/{id}`;
const TAR = ['application/x-tar'];

export const OPERATIONS: readonly Operation[] = [
  {
    id: 'deploy',
    method: 'post',
    path: `${TARGET}/deployments`,
    does: 'deploy: a signed JSON document, or a tar whose first entry is the signed request',
    proof: 'signature',
    body: 'DeployRequest',
    alsoAs: [...TAR, 'application/gzip'],
    takes: ['prefer'],
    answers: { 200: 'Deployment', 202: 'Accepted' },
  },
  {
    id: 'listDeployments',
    method: 'get',
    path: `${TARGET}/deployments`,
    does: 'the newest deployments',
    proof: 'bearer',
    takes: ['limit'],
    answers: { 200: 'DeploymentList' },
  },
  {
    id: 'getDeployment',
    method: 'get',
    path: ONE,
    does: 'one deployment; in a browser as a page',
    proof: 'bearer',
    answers: { 200: 'Deployment' },
    hasPage: true,
  },
  {
    id: 'followDeployment',
    method: 'get',
    path: `${ONE}/events`,
    does: 'follow it (server-sent events)',
    proof: 'bearer',
    takes: ['lastEventId'],
    answers: { 200: 'text/event-stream' },
  },
  {
    id: 'resumeDeployment',
    method: 'post',
    path: `${ONE}/resume`,
    does: 'go on with what was left unfinished',
    proof: 'signature',
    body: 'ResumeRequest',
    alsoAs: TAR,
    takes: ['prefer'],
    answers: { 200: 'Deployment', 202: 'Accepted' },
  },
  {
    id: 'cancelDeployment',
    method: 'post',
    path: `${ONE}/cancel`,
    does: 'cancel it',
    proof: 'signature',
    body: 'CancelRequest',
    takes: ['prefer'],
    answers: { 200: 'Deployment', 202: 'Accepted' },
  },
  {
    id: 'undoDeployment',
    method: 'post',
    path: `${ONE}/undo`,
    does: 'take it back',
    proof: 'signature',
    body: 'UndoRequest',
    alsoAs: TAR,
    takes: ['prefer'],
    answers: { 200: 'Deployment', 202: 'Accepted' },
  },
  {
    id: 'approveDeployment',
    method: 'post',
    path: `${ONE}/approve`,
    does: 'approve it, as a second person, by its digest',
    proof: 'signature',
    body: 'ApproveRequest',
    takes: ['prefer'],
    answers: { 200: 'Deployment', 202: 'Accepted' },
  },
  {
    id: 'planUndo',
    method: 'get',
    path: `${ONE}/undo`,
    does: 'what taking it back would run, and what has no undo',
    proof: 'bearer',
    answers: { 200: 'UndoPlan' },
  },
  {
    id: 'planNewestUndo',
    method: 'get',
    path: `${TARGET}/undo`,
    does: 'the same for the newest one',
    proof: 'bearer',
    takes: ['bundle'],
    answers: { 200: 'UndoPlan' },
  },
  {
    id: 'listLater',
    method: 'get',
    path: `${TARGET}/later`,
    does: 'what came after a deployment and has to be undone to go back to it',
    proof: 'bearer',
    takes: ['after'],
    answers: { 200: 'Later' },
  },
  {
    id: 'getChanges',
    method: 'get',
    path: `${ONE}/changes`,
    does: 'what of the catalog it has changed',
    proof: 'bearer',
    answers: { 200: 'Changes' },
  },
  {
    id: 'getReceipt',
    method: 'get',
    path: `${ONE}/receipt`,
    does: 'how it ended, in bytes that never change',
    proof: 'bearer',
    takes: ['number', 'ifNoneMatch'],
    answers: { 200: 'Receipt', 304: 'nothing' },
  },
  {
    id: 'getDrift',
    method: 'get',
    path: `${TARGET}/drift`,
    does: 'what changed in this database outside of deployments',
    proof: 'bearer',
    answers: { 200: 'Drift' },
  },
  {
    id: 'acceptDrift',
    method: 'post',
    path: `${TARGET}/drift/accept`,
    does: 'say that the catalog is meant as it is',
    proof: 'signature',
    body: 'AcceptDriftRequest',
    answers: { 200: 'Drift' },
  },
  {
    id: 'getHistory',
    method: 'get',
    path: `${TARGET}/history`,
    does: 'what has been applied to this database',
    proof: 'bearer',
    takes: ['bundle'],
    answers: { 200: 'History' },
  },
  {
    id: 'forget',
    method: 'post',
    path: `${TARGET}/history/forget`,
    does: 'say that nothing of a file that stopped half-way is there any more',
    proof: 'signature',
    body: 'ForgetRequest',
    answers: { 200: 'Forgotten' },
  },
  {
    id: 'plan',
    method: 'post',
    path: `${TARGET}/plan`,
    does: 'compare a bundle with the history; nothing runs',
    proof: 'bearer',
    body: 'PlanQuestion',
    answers: { 200: 'Plan' },
  },
  {
    id: 'takeWebhook',
    method: 'post',
    path: '/webhooks/{forge}',
    does: 'receive a webhook of a forge',
    proof: 'webhook',
    answers: { 200: 'WebhookAnswer', 202: 'WebhookAnswer' },
  },
  {
    id: 'getHealth',
    method: 'get',
    path: '/healthz',
    does: 'whether this Worker is set up; asks no database',
    proof: 'none',
    answers: { 200: 'Health', 503: 'Health' },
  },
  {
    id: 'describeApi',
    method: 'get',
    path: '/openapi.json',
    does: 'this list, for programs (OpenAPI 3.1)',
    proof: 'none',
    answers: { 200: 'application/json' },
  },
  { id: 'showPage', method: 'get', path: '/', does: 'a page for people', proof: 'none', answers: { 200: 'text/html' } },
];
