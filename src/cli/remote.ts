/**
 * Through a Worker: signs, sends what is missing, follows, and sends the request again when nobody is at work. Every repeat carries the
 * same signed id with a new timestamp and expiry, so however often a connection is lost, it is one deployment. HTTP itself is
 * worker_client.ts's, the signatures are trust/'s.
 */
import * as z from 'zod';
import { type Bundle, NO_ARTIFACTS } from '../bundle/source.ts';
import { writeTar } from '../bundle/tar.ts';
import { Commits } from '../deployment/held.ts';
import { metAgain, primaryGone } from '../deployment/met_again.ts';
import { isUnapproved } from '../domain/approval.ts';
import { type Deployment, deploymentSchema, deploymentStateSchema, isOver } from '../domain/deployment.ts';
import type { Artifact } from '../domain/manifest.ts';
import type { SecretValues } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import type { ApproveRequest, DeployRequest, WeftRequest } from '../domain/request.ts';
import { digestSecrets } from '../trust/secrets.ts';
import { waitsForSecrets } from '../words/approved.ts';
import { HELD_BY_STANDBY } from '../words/waits.ts';
import type { WorkerAddress } from './address.ts';
import { isSmall, nextBatch } from './batches.ts';
import { countingSource } from './counting.ts';
import type { UndoWish } from './direct.ts';
import type { Assigned } from './parameters.ts';
import { pause, persist } from './persist.ts';
import type { View } from './progress.ts';
import { expiryFor, explainRefusal, proveReading, proveRequest, requireSecret } from './proofs.ts';
import { ANSWER_MS, deploymentsPath } from './remote_readings.ts';
import { type Answer, ask, type Outgoing } from './worker_client.ts';

/** A slow line. */
const BYTES_PER_SECOND_MIN = 50_000;
/** An upload of 90 MB over it. */
const UPLOAD_MS = 30 * 60_000;
const POLL_MS_MIN = 300;
const POLL_MS_MAX = 2000;
/** How long nobody may be seen running it before the request is sent again; twice as long each time. In line, others are running. */
const IDLE_MS_MIN = 5000;
const IDLE_MS_MAX = 60_000;
const IDLE_IN_LINE_MS = 30_000;
/** How long the Worker may wait for the end before it answers a caller who cannot read. */
const WAIT_SECONDS = 60;
/** A cancel that does not have to wait is over by then; for any other, the Worker should say at once for whom it waits, and go on. */
const CANCEL_WAIT_SECONDS = 1;

export interface Errand {
  readonly address: WorkerAddress;
  /** Milliseconds since 1970. */
  readonly deadlineAtMs: number;
  readonly signal: AbortSignal;
  readonly onView: (change: Partial<View>) => void;
}

/** What a POST is answered with: the document, or as much of it as is known before the run has begun. */
const receptionSchema = z.looseObject({
  id: z.uuid(),
  state: deploymentStateSchema,
  missing: z.array(z.looseObject({ digest: z.string() })).default([]),
});
type Reception = z.infer<typeof receptionSchema>;

/**
 * Deploys a bundle.
 * @param id signed; the same id is the same deployment
 * @param assigned values of its parameters
 * @returns the deployment as it ended, or as it is when the deadline comes
 * @throws Problem what the Worker refuses; what does not pass by itself
 */
export async function deployThroughWorker(
  errand: Errand,
  bundle: Bundle,
  id: string,
  assigned: Assigned,
  mode: DeployRequest['mode'] = 'apply',
  claims: Pick<DeployRequest, 'fingerprint' | 'verify'> = {},
): Promise<Deployment> {
  const { manifest } = bundle;
  const { parameters, secrets: values } = assigned;
  const { origin: audience, target } = errand.address;
  const beside =
    Object.keys(values).length === 0 ? null : { bytes: bytesOf(values), digests: await digestSecrets(values, requireSecret(errand.address), { id, target }) };
  const attendance = new Attendance(errand, deploymentsPath(errand.address), {
    beside: beside?.bytes ?? null,
    makeRequest: (expires_at) => ({
      type: 'deploy',
      id,
      audience,
      target,
      mode,
      ...claims,
      expires_at,
      ...(Object.keys(parameters).length > 0 && { parameters }),
      ...(beside !== null && { secrets: beside.digests }),
      manifest,
    }),
  });
  let sentBytes = 0;
  const source = countingSource(bundle.source, (bytes) => {
    sentBytes += bytes;
    errand.onView({ activity: 'sending', sentBytes });
  });
  const send = (artifacts: readonly Artifact[]): Promise<Reception> =>
    attendance.knock(async (request) => {
      const tar = writeTar(request, artifacts, source, beside?.bytes ?? null).pipeThrough(
        new CompressionStream('gzip') as ReadableWritablePair<Uint8Array, Uint8Array>,
      );
      const headers = { 'content-type': 'application/x-tar', 'content-encoding': 'gzip' };
      if (!isSmall(artifacts)) return { headers, body: tar, timeoutMs: UPLOAD_MS };
      // Hardly longer than any answer: a way that has gone silent is tried again.
      const body = new Uint8Array(await new Response(tar).arrayBuffer());
      return { headers, body, timeoutMs: ANSWER_MS + Math.floor(body.length / BYTES_PER_SECOND_MIN) * 1000 };
    });

  await persist(async () => {
    let reception = await (isSmall(manifest.artifacts) ? send(manifest.artifacts) : attendance.ask());
    while (reception.missing.length > 0) {
      const digests = new Set(reception.missing.map(({ digest }) => digest));
      const batch = nextBatch(manifest.artifacts, digests);
      reception = await sendBatch(batch, digests.size > batch.length);
      if (reception.missing.length >= digests.size) {
        throw new Problem('artifact_missing', 'The Worker still asks for files that were sent to it. The deployment has not begun.', {
          deployment: reception.id,
        });
      }
    }
  }, attendance.persistence);
  return attendance.follow();

  /** More to come: then the Worker rightly says that something is missing, and what it is shows at the next knock. */
  async function sendBatch(batch: readonly Artifact[], hasMore: boolean): Promise<Reception> {
    try {
      return await send(batch);
    } catch (error) {
      if (hasMore && error instanceof Problem && error.slug === 'artifact_missing') return attendance.ask();
      throw error;
    }
  }
}

/** Continues a deployment, or attaches to it. */
export async function resumeThroughWorker(errand: Errand, deployment: string, secrets: SecretValues | null): Promise<Deployment> {
  return actThroughWorker(errand, 'resume', deployment, secrets);
}

/** Cancels a deployment, and stays until it is over. */
export async function cancelThroughWorker(errand: Errand, deployment: string): Promise<Deployment> {
  return actThroughWorker(errand, 'cancel', deployment);
}

/** Approves a deployment, and stays until it is over, or waits for what somebody else has to bring. */
export async function approveThroughWorker(errand: Errand, wish: Pick<ApproveRequest, 'deployment' | 'digest'>): Promise<Deployment> {
  const { origin: audience, target } = errand.address;
  const id = crypto.randomUUID();
  const attendance = new Attendance(errand, `${deploymentsPath(errand.address)}/${wish.deployment}/approve`, {
    beside: null,
    makeRequest: (expires_at) => ({ type: 'approve', id, audience, target, expires_at, ...wish }),
  });
  await persist(() => attendance.knock(), attendance.persistence);
  return attendance.follow(waitsForSecrets);
}

/**
 * Takes a deployment back, and stays with the undo until it is over.
 * @param wish which one, and how
 * @param id signed; the same id is the same undo
 */
export async function undoThroughWorker(errand: Errand, { secrets: values, ...wish }: UndoWish, id: string): Promise<Deployment> {
  const { origin: audience, target } = errand.address;
  const path = `${deploymentsPath(errand.address)}/${wish.deployment}/undo`;
  const secrets = values === null ? null : await digestSecrets(values, requireSecret(errand.address), { id, target });
  const attendance = new Attendance(errand, path, {
    beside: values === null ? null : bytesOf(values),
    makeRequest: (expires_at) => ({ type: 'undo', id, audience, target, expires_at, ...wish, ...(secrets !== null && { secrets }) }),
  });
  await persist(() => attendance.knock(), attendance.persistence);
  return attendance.follow();
}

async function actThroughWorker(errand: Errand, type: 'resume' | 'cancel', deployment: string, values: SecretValues | null = null): Promise<Deployment> {
  const { origin: audience, target } = errand.address;
  const id = crypto.randomUUID();
  const secrets = values === null ? null : await digestSecrets(values, requireSecret(errand.address), { id, target });
  const attendance = new Attendance(errand, `${deploymentsPath(errand.address)}/${deployment}/${type}`, {
    beside: values === null ? null : bytesOf(values),
    makeRequest: (expires_at) => {
      const common = { id, audience, target, expires_at, deployment };
      return type === 'cancel' ? { type, ...common } : { type, ...common, ...(secrets !== null && { secrets }) };
    },
    waitSeconds: type === 'cancel' ? CANCEL_WAIT_SECONDS : 0,
  });
  await persist(() => attendance.knock(), attendance.persistence);
  return attendance.follow();
}

/** The document that travels beside a request. */
function bytesOf(values: SecretValues): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(values));
}

/** Makes a body around a request. */
type Wrap = (request: Uint8Array<ArrayBuffer>) => Promise<Pick<Outgoing, 'body' | 'headers' | 'timeoutMs'>>;

function alone(body: Uint8Array<ArrayBuffer>): Awaited<ReturnType<Wrap>> {
  return { headers: { 'content-type': 'application/json' }, body, timeoutMs: ANSWER_MS };
}

/** One deployment attended to: knocking with one signed request, and reading with the token that its Location carries. */
class Attendance {
  readonly #errand: Errand;
  readonly #path: string;
  readonly #makeRequest: (expiresAt: string) => WeftRequest;
  /** Secrets, as they travel beside the request. */
  readonly #beside: Uint8Array | null;
  readonly #waitSeconds: number;
  #location: Location | null = null;
  /** False once it has shown that the job's identity token may not read. */
  #mayRead = true;
  #latest: Deployment | null = null;
  #hasContact = false;
  /** What the Worker has said of a commit that keeps it from answering. */
  #held: string | null = null;
  readonly #commits = new Commits();

  /**
   * @param o.beside the secrets that the request binds, or null
   * @param o.waitSeconds how long the Worker may wait for the end before it answers a knock
   */
  constructor(errand: Errand, path: string, o: { makeRequest: (expiresAt: string) => WeftRequest; beside: Uint8Array | null; waitSeconds?: number }) {
    this.#errand = errand;
    this.#path = path;
    this.#makeRequest = o.makeRequest;
    this.#beside = o.beside;
    this.#waitSeconds = o.waitSeconds ?? 0;
  }

  get persistence(): Parameters<typeof persist>[1] {
    const { deadlineAtMs, signal, onView } = this.#errand;
    return { deadlineAtMs, signal, hasContact: () => this.#hasContact, onPause: (note) => onView({ activity: 'attaching', note: this.#held ?? note }) };
  }

  /** Asks which artifacts are missing. Without the secrets nothing runs, so if none is, they follow. */
  async ask(): Promise<Reception> {
    try {
      return await this.knock(async (body) => alone(body));
    } catch (error) {
      if (this.#beside === null || !(error instanceof Problem) || error.slug !== 'secrets_missing') throw error;
      return this.knock();
    }
  }

  /**
   * Sends the request, signed anew.
   * @param wrap makes a body around the request; without it the request goes without artifacts, with its secrets if it has any
   * @param waitSeconds how long the Worker may wait for the end before it answers
   */
  async knock(wrap: Wrap = (request) => this.#wrapBare(request), waitSeconds = this.#waitSeconds): Promise<Reception> {
    const { address, signal, onView } = this.#errand;
    const request = this.#makeRequest(await expiryFor(address, signal));
    const { body, headers, token } = await proveRequest(address, request, signal);
    const wrapped = await wrap(body);
    const prefer: Record<string, string> = waitSeconds > 0 ? { prefer: `wait=${waitSeconds}` } : {};
    const answer = await ask(
      address.origin,
      {
        method: 'POST',
        path: this.#path,
        signal,
        ...wrapped,
        timeoutMs: wrapped.timeoutMs + waitSeconds * 1000,
        headers: { ...headers, ...wrapped.headers, ...prefer },
      },
      receptionSchema,
    ).catch((error: unknown) => {
      if (error instanceof Problem && error.slug === 'commit_held') {
        this.#hasContact = true; // it has come to the database
        this.#held = error.message;
        onView({ held: this.#held, note: this.#held });
      }
      throw explainRefusal(error, token);
    });
    this.#hasContact = true;
    this.#held = null;
    const { document } = answer;
    this.#location = this.#mayRead ? readLocation(answer, address) : null;
    onView({ id: document.id, state: document.state, note: null, held: null });
    const whole = deploymentSchema.safeParse(document);
    if (whole.success) this.#see(whole.data);
    return document;
  }

  async #wrapBare(request: Uint8Array<ArrayBuffer>): ReturnType<Wrap> {
    if (this.#beside === null) return alone(request);
    const body = new Uint8Array(await new Response(writeTar(request, [], NO_ARTIFACTS, this.#beside) as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
    return { headers: { 'content-type': 'application/x-tar' }, body, timeoutMs: ANSWER_MS };
  }

  /**
   * Watches until the end or the deadline; knocks again when nobody is at work.
   * @param isAtRest whether somebody else has to bring something first; without it, only an approval
   */
  async follow(isAtRest: (deployment: Deployment) => boolean = isUnapproved): Promise<Deployment> {
    const { deadlineAtMs, signal } = this.#errand;
    let pollMs = POLL_MS_MIN;
    let idleSinceMs = Date.now();
    let idleMs = IDLE_MS_MIN;
    for (;;) {
      const before = this.#latest;
      if (before !== null && (isOver(before.state) || isAtRest(before))) return before;
      const deployment = await this.#again(() => this.#look());
      if (isOver(deployment.state) || isAtRest(deployment)) return deployment;
      const nowMs = Date.now();
      if (nowMs >= deadlineAtMs) return deployment;
      if (deployment.live !== null) {
        idleSinceMs = nowMs;
        idleMs = IDLE_MS_MIN;
      } else if (nowMs - idleSinceMs >= (deployment.ahead.length > 0 ? IDLE_IN_LINE_MS : idleMs)) {
        await this.#again(() => this.knock());
        idleSinceMs = Date.now();
        idleMs = Math.min(IDLE_MS_MAX, idleMs * 2);
      }
      pollMs = isSame(before, deployment) ? Math.min(POLL_MS_MAX, pollMs * 1.5) : POLL_MS_MIN;
      await pause(Math.min(pollMs, Math.max(1, deadlineAtMs - Date.now())), signal);
    }
  }

  /** A standby at the address of the database passes, as it does for whoever is attached without a Worker. */
  async #again<T>(attempt: () => Promise<T>): Promise<T> {
    const rethrow = (translate: (error: unknown) => unknown) => (error: unknown) => {
      throw translate(error);
    };
    return persist(() => attempt().catch(rethrow(primaryGone)), this.persistence).catch(rethrow(metAgain));
  }

  async #look(): Promise<Deployment> {
    const { address, signal, deadlineAtMs } = this.#errand;
    if (this.#location === null) {
      // A caller without the right to read still gets the answer to its own request.
      await this.knock(undefined, Math.max(1, Math.min(WAIT_SECONDS, Math.ceil((deadlineAtMs - Date.now()) / 1000))));
      if (this.#latest === null) throw new Problem('interrupted', 'The Worker has taken the request and does not say how the deployment gets on.');
      return this.#latest;
    }
    const { path, token } = this.#location;
    try {
      const headers = token === null ? await proveReading(address, signal) : { authorization: `Bearer ${token}` };
      const outgoing: Outgoing = { method: 'GET', path, headers, signal, timeoutMs: ANSWER_MS };
      const { document } = await ask(address.origin, outgoing, deploymentSchema);
      this.#see(document);
      return document;
    } catch (error) {
      if (token === null && error instanceof Problem && error.slug === 'no_grant') {
        this.#mayRead = false;
        this.#location = null;
        throw new Problem('interrupted', 'This job may not read.', {}, error);
      }
      // The token of a Location lives an hour; another knock brings another.
      if (!(error instanceof Problem) || error.slug !== 'read_token_invalid') throw error;
      await this.knock();
      throw new Problem('interrupted', 'The reading token had expired.', {}, error);
    }
  }

  #see(deployment: Deployment): void {
    this.#latest = deployment;
    const held = this.#commits.areHeld(deployment.live, Date.now()) ? HELD_BY_STANDBY : null;
    this.#errand.onView({ activity: 'following', deployment, id: deployment.id, note: held, held });
  }
}

/** Where a deployment can be read, and with which token; null: with the job's own. */
interface Location {
  readonly path: string;
  readonly token: string | null;
}

/** The token travels in a header from here on, where no log of addresses has it. Who has no secret gets none, and reads with an identity token. */
function readLocation({ location }: Answer<unknown>, { secret, identity }: WorkerAddress): Location | null {
  if (location === null) return null;
  const token = location.searchParams.get('token');
  if (token) return { path: location.pathname, token };
  return secret === null && identity !== null ? { path: location.pathname, token: null } : null;
}

function isSame(before: Deployment | null, after: Deployment): boolean {
  return before !== null && JSON.stringify([before.state, before.live, before.phases]) === JSON.stringify([after.state, after.live, after.phases]);
}
