/**
 * Readings through a Worker: one GET each, with a reading token made for it. What changes something is remote.ts's, HTTP itself
 * worker_client.ts's.
 */
import * as z from 'zod';
import { type Changes, changesSchema, type Deployment, type Drift, deploymentSchema, driftSchema } from '../domain/deployment.ts';
import { type Foresight, type ForesightQuestion, foresightSchema } from '../domain/foresight.ts';
import { type History, historySchema } from '../domain/history.ts';
import { type Later, laterSchema, type UndoPlan, undoPlanSchema } from '../domain/undo_plan.ts';
import type { WorkerAddress } from './address.ts';
import { proveReading } from './proofs.ts';
import { ask, askForBytes, type Outgoing } from './worker_client.ts';

export const ANSWER_MS = 60_000;
const LISTED_COUNT = 20;

export async function readStatusThroughWorker(address: WorkerAddress, id: string, signal: AbortSignal): Promise<Deployment> {
  return read(address, `${deploymentsPath(address)}/${encodeURIComponent(id)}`, deploymentSchema, signal);
}

export async function readDeploymentsThroughWorker(address: WorkerAddress, signal: AbortSignal): Promise<Deployment[]> {
  const schema = z.looseObject({ deployments: z.array(deploymentSchema) });
  return (await read(address, `${deploymentsPath(address)}?limit=${LISTED_COUNT}`, schema, signal)).deployments;
}

export async function readHistoryThroughWorker(address: WorkerAddress, bundle: string | null, signal: AbortSignal): Promise<History> {
  const query = bundle === null ? '' : `?bundle=${encodeURIComponent(bundle)}`;
  return read(address, `${targetPath(address)}/history${query}`, historySchema, signal);
}

export async function readUndoPlanThroughWorker(address: WorkerAddress, id: string | null, bundle: string | null, signal: AbortSignal): Promise<UndoPlan> {
  const query = bundle === null ? '' : `?bundle=${encodeURIComponent(bundle)}`;
  const path = id === null ? `${targetPath(address)}/undo${query}` : `${deploymentsPath(address)}/${encodeURIComponent(id)}/undo`;
  return read(address, path, undoPlanSchema, signal);
}

export async function readLaterThroughWorker(address: WorkerAddress, id: string, signal: AbortSignal): Promise<Later> {
  return read(address, `${targetPath(address)}/later?after=${encodeURIComponent(id)}`, laterSchema, signal);
}

export async function readDriftThroughWorker(address: WorkerAddress, signal: AbortSignal): Promise<Drift> {
  return read(address, `${targetPath(address)}/drift`, driftSchema, signal);
}

export async function readChangesThroughWorker(address: WorkerAddress, id: string, signal: AbortSignal): Promise<Changes> {
  return read(address, `${deploymentsPath(address)}/${encodeURIComponent(id)}/changes`, changesSchema, signal);
}

export async function readForesightThroughWorker(address: WorkerAddress, question: ForesightQuestion, signal: AbortSignal): Promise<Foresight> {
  return read(address, `${targetPath(address)}/plan`, foresightSchema, signal, new TextEncoder().encode(JSON.stringify(question)));
}

export async function readReceiptThroughWorker(address: WorkerAddress, id: string, number: number | null, signal: AbortSignal): Promise<string> {
  const path = `${deploymentsPath(address)}/${encodeURIComponent(id)}/receipt${number === null ? '' : `?number=${number}`}`;
  return askForBytes(address.origin, { path, signal, timeoutMs: ANSWER_MS, method: 'GET', headers: await proveReading(address, signal) });
}

/** @param body with which it is asked, if it takes more than an address */
async function read<T>(address: WorkerAddress, path: string, schema: z.ZodType<T>, signal: AbortSignal, body?: Uint8Array<ArrayBuffer>): Promise<T> {
  const headers = await proveReading(address, signal);
  const outgoing: Outgoing = {
    path,
    signal,
    timeoutMs: ANSWER_MS,
    ...(body === undefined ? { method: 'GET', headers } : { method: 'POST', body, headers: { ...headers, 'content-type': 'application/json' } }),
  };
  return (await ask(address.origin, outgoing, schema)).document;
}

export function targetPath(address: WorkerAddress): string {
  return `/v1/targets/${encodeURIComponent(address.target)}`;
}

export function deploymentsPath(address: WorkerAddress): string {
  return `${targetPath(address)}/deployments`;
}
