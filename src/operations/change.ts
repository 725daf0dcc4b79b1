/**
 * From what a forge says to a deployment, and back: confirms that it is still true, fetches the folder at that commit, deploys it as a
 * signed request would, and reports to the forge. Each call takes one piece of work as far as it gets, and says what is left of it;
 * handling it once too often changes nothing, because the request that is made from it is always the same.
 */

import type { ArchivedBundle } from '../bundle/collected.ts';
import type { Target } from '../config/config.ts';
import type { Source } from '../config/forges.ts';
import type { OwedCall } from '../database/owed.ts';
import { isUnapproved } from '../domain/approval.ts';
import type { Account, ForgeWork } from '../domain/change.ts';
import { type Deployment, isOver } from '../domain/deployment.ts';
import { LIMITS } from '../domain/limits.ts';
import { checkParameters } from '../domain/parameters.ts';
import { Problem, type ProblemSlug } from '../domain/problem.ts';
import type { DeployRequest } from '../domain/request.ts';
import {
  type AccountPlace,
  accountOfBeginning,
  accountOfDeployment,
  accountOfNoApproval,
  accountOfNothing,
  accountOfOvertaken,
  accountOfProblem,
  accountOfStale,
} from '../forges/account.ts';
import type { Confirmed, ForgeAtHand } from '../forges/forge.ts';
import { mayBeRun, requireGrant } from '../trust/grants.ts';
import { protectionOf, requireApprovable, requireRules } from '../trust/rules.ts';
import type { ChangeDesk, ChangeFinding, ChangeProgress } from './desk.ts';
import { keyOfWork, writeOwed } from './owed.ts';
import { checkReviewed, chooseWaiting } from './reviewed.ts';
import { findSources } from './sources.ts';
import { cutToMessage, hideAccount, idOf, proofOf } from './written.ts';

/** After so many looks the pause is the longest. While all is well, no more are counted: a deployment that goes on, or waits for somebody, is no failed try. */
const LOOKS_WELL_MAX = 9;

/** Problems that no further look would change. */
const HOPELESS: readonly ProblemSlug[] = ['deployment_not_found', 'deployment_not_staged', 'engine_missing', 'secrets_missing', 'unknown_target'];

/** For this much longer than a try may take, or than the pause after one, nobody else reports what is owed. */
const HOLD_SLACK_SECONDS = 60;

/** What is known about a try besides its work. */
export interface Try {
  /** It will not be tried again automatically. */
  readonly isLast?: boolean;
  /** A previous try with exactly this work died silently: it may have reported the result. */
  readonly isRepeated?: boolean;
}

/**
 * @param deadlineMs how long to stay with it; the deployment itself needs nobody
 * @returns never rejects
 */
export async function carryOut(desk: ChangeDesk, work: ForgeWork, deadlineMs: number, which: Try = {}): Promise<ChangeProgress> {
  return new Errand(desk, work, deadlineMs, which).run();
}

/** How a try has ended: with an account for the forge, or with something to come back for. */
type End = { readonly account: Account } | { readonly again: 'at_work' | 'waiting' | 'unreachable'; readonly seconds: number };

class Errand {
  readonly #desk: ChangeDesk;
  readonly #deadlineMs: number;
  readonly #try: Try;
  readonly #errors: unknown[] = [];
  #work: ForgeWork;
  #state: Deployment['state'] | null = null;
  #stale: string | null = null;
  /** Of what is owed in the database: `ours` to be told, `unknown` whether somebody else does or did, or `none` of its business. */
  #owed: 'ours' | 'unknown' | 'none';

  constructor(desk: ChangeDesk, work: ForgeWork, deadlineMs: number, which: Try) {
    this.#desk = desk;
    this.#work = work;
    this.#deadlineMs = deadlineMs;
    this.#try = which;
    this.#owed = work.deployment === null || work.mode === 'approve' ? 'none' : work.account === null ? 'unknown' : 'ours';
  }

  async run(): Promise<ChangeProgress> {
    const { config, forges } = this.#desk;
    const { forge: name, change, target, folder } = this.#work;
    const forge = forges.get(name);
    const source = findSources(config.sources, name, change).find((one) => one.target === target && one.folder === folder);
    if (forge === undefined) return this.#progress('dropped', null);
    if (this.#work.account !== null) return this.#tellEnd(forge, this.#work.account);
    const { deployment, mode } = this.#work;
    const place: AccountPlace = { target, folder: folder ?? '', mode: mode ?? source?.mode ?? 'apply' };
    // The configuration is another one than when the webhook came: what has begun is told to its end all the same, or its people would wait for it.
    if (!config.targets.has(target) || (source === undefined && deployment === null))
      return mode === undefined ? this.#progress('dropped', null) : this.#tellEnd(forge, accountOfNothing(place));
    const end = await this.#begin(forge, source ?? null, place).catch((error: unknown) => this.#endOf(forge, place, error));
    if (end === null) return this.#progress('stale', null);
    if ('again' in end) {
      await this.#leave(forge, 0);
      return this.#progress(end.again, end.seconds);
    }
    return this.#tellEnd(forge, end.account);
  }

  /** @returns null when there is nothing to do, and nobody to be told */
  async #begin(forge: ForgeAtHand, source: Source | null, place: AccountPlace): Promise<End | null> {
    if (this.#work.deployment !== null) return this.#attend(forge, place, this.#work.deployment);
    if (source === null) throw new Error('a change without a source has a deployment');
    const { change } = this.#work;
    const { mode } = source;
    requireGrant(this.#desk.config, forge.name, mode === 'approve' ? 'approve' : 'deploy', place.target);
    const confirmed = await forge.client.confirm(change);
    this.#stale = confirmed.stale;
    // A stale webhook that was never confirmed is not answered at the forge: whoever has captured it could make noise there.
    if (confirmed.stale !== null && this.#work.mode === undefined && !this.#try.isRepeated) return null;
    this.#work = { ...this.#work, mode: place.mode };
    if (mode === 'approve') return this.#approve(forge, source, place, confirmed);
    if (confirmed.stale !== null) return { account: accountOfStale(place, confirmed.stale) };
    const request = await this.#request(forge, source, mode);
    requireRules(this.#desk.config, request, { branch: confirmed.branch, nowSeconds: Math.floor(this.#desk.now() / 1000) });
    if (this.#desk.isKept) await this.#tellBeginning(forge, place);
    const bundle = await forge.client.fetchBundle(change, place.folder);
    // Files may be long on their way, and something newer may have come and gone meanwhile.
    const again = await forge.client.confirm(change);
    this.#stale = again.stale;
    return again.stale === null ? this.#deploy(forge, request, place, bundle, again.branch) : { account: accountOfStale(place, again.stale) };
  }

  /** The request as a signer would write it, without the manifest. No signed request can say what it says about its source. */
  async #request(forge: ForgeAtHand, source: Source, mode: 'apply' | 'rehearse'): Promise<DeployRequest & { readonly source: object }> {
    const { target, parameters, folder, repository_id } = source;
    return {
      type: 'deploy',
      id: await idOf(forge, source, this.#work),
      audience: this.#desk.config.origin,
      target,
      expires_at: new Date(this.#desk.now() + LIMITS.signature_tolerance_seconds * 1000).toISOString(),
      mode,
      ...(parameters === undefined ? {} : { parameters }),
      source: { forge: forge.kind, repository: repository_id, commit: this.#work.change.commit, folder },
    };
  }

  /** @param branch whose head it is, as the forge has confirmed; null where it is none's */
  async #deploy(forge: ForgeAtHand, request: DeployRequest, place: AccountPlace, bundle: ArchivedBundle, branch: string | null): Promise<End> {
    const { target } = place;
    const { manifest, chunks } = bundle;
    const confirmed_at = new Date(this.#desk.now()).toISOString();
    checkParameters(manifest.parameters ?? [], request.parameters ?? {}, []);
    const drive = this.#desk.deploy({
      connect: this.#desk.connect(this.#target(target)),
      order: {
        request: new TextEncoder().encode(JSON.stringify({ ...request, manifest })),
        manifest,
        mode: request.mode,
        caller: forge.name,
        target,
        signature: { ...proofOf(forge, this.#work), ...(branch !== null && { ref: `refs/heads/${branch}`, confirmed_at }) },
        protection: protectionOf(this.#desk.config, target),
        owed: await writeOwed(forge, this.#work, this.#holdSeconds()),
      },
      chunks,
      chunksAgain: true,
      callers: mayBeRun(this.#desk.config, target),
      deadlineMs: this.#deadlineMs,
    });
    drive.done.catch(() => undefined);
    const { id, state, overtakenBy = null } = await drive.opened;
    this.#owed = 'ours';
    await this.#know(target, id, isOver(state));
    if (!this.#desk.isKept) await this.#tellBeginning(forge, place);
    const deployment = await drive.done;
    const end = await this.#look(forge, place, deployment);
    const isThere = deployment.state === 'succeeded' || deployment.state === 'degraded';
    return overtakenBy !== null && isThere ? { account: accountOfOvertaken(place, deployment, overtakenBy) } : end;
  }

  /**
   * A reviewer at the forge is the second person for a deployment that somebody other than this forge has opened, and that waits with exactly the files of
   * that commit. One review approves one deployment, however often the webhook arrives.
   */
  async #approve(forge: ForgeAtHand, source: Source, place: AccountPlace, confirmed: Confirmed): Promise<End> {
    const { change } = this.#work;
    const { config, connect, now } = this.#desk;
    const target = this.#target(place.target);
    const proof = proofOf(forge, this.#work);
    const approved = await this.#desk.findApproved(target, forge.name, proof);
    if (approved !== null) {
      await this.#know(place.target, approved);
      return this.#attend(forge, place, approved);
    }
    if (confirmed.stale !== null) return { account: accountOfNoApproval(place, confirmed.stale) };
    const { reviewers = [] } = confirmed;
    const { manifest } = await forge.client.fetchBundle(change, place.folder);
    checkReviewed(manifest, source.parameters ?? {});
    const again = await forge.client.confirm(change);
    this.#stale = again.stale;
    if (again.stale !== null) return { account: accountOfNoApproval(place, again.stale) };
    const chosen = chooseWaiting(await this.#desk.findWaiting(target, manifest, source.parameters ?? {}), forge.name, reviewers);
    if ('why' in chosen) return { account: accountOfNoApproval(place, chosen.why) };
    let handedOn = Promise.resolve();
    const deployment = await this.#desk
      .approve({
        connect: connect(target),
        deployment: chosen.deployment,
        digest: chosen.digest,
        caller: forge.name,
        target: place.target,
        request: null,
        signature: { ...proof, environment: change.environment ?? '', run_id: String(change.number ?? ''), reviewers: reviewers.join(' ') },
        judge: (found) => requireApprovable(config, place.target, found, Math.floor(now() / 1000)),
        // Nothing is known of it before its approval is committed: what throws until then is tried again from the beginning.
        onStatus: ({ id }) => {
          if (this.#work.deployment === null) handedOn = this.#know(place.target, id);
        },
        callers: mayBeRun(config, place.target),
        deadlineMs: this.#deadlineMs,
      })
      .finally(() => handedOn);
    return this.#look(forge, place, deployment);
  }

  /** There is a deployment that is our business, whatever becomes of us. */
  async #know(target: string, id: string, isEnded = false): Promise<void> {
    this.#work = { ...this.#work, deployment: id };
    if (!isEnded) await this.#desk.onOpened(target, id);
  }

  async #attend(forge: ForgeAtHand, place: AccountPlace, id: string): Promise<End> {
    const { config, connect } = this.#desk;
    const { target } = place;
    const attended = await this.#desk.attend({
      connect: connect(this.#target(target)),
      id,
      target,
      callers: mayBeRun(config, target),
      deadlineMs: this.#deadlineMs,
    });
    if (attended.deployment === null) throw new Problem('deployment_not_found', `Deployment ${id} is not in this database any more.`, { deployment: id });
    return this.#look(forge, place, attended.deployment);
  }

  async #look(forge: ForgeAtHand, place: AccountPlace, deployment: Deployment): Promise<End> {
    this.#state = deployment.state;
    if (isUnapproved(deployment)) return this.#tellWaiting(forge, place, deployment);
    if (!isOver(deployment.state)) return { again: 'at_work', seconds: this.#pause(LIMITS.look_again_seconds_max) };
    await this.#desk.onOver(place.target, deployment.id);
    return { account: accountOfDeployment(place, deployment) };
  }

  /** Reported only once. Others may report the end by now, and this report may arrive after theirs, so the deployment is looked at again. */
  async #tellWaiting(forge: ForgeAtHand, place: AccountPlace, deployment: Deployment): Promise<End> {
    const isTold = this.#work.told_waiting === true;
    if (!isTold && (await this.#tell(forge, hideAccount(this.#desk, accountOfDeployment(place, deployment)))) === undefined)
      this.#work = { ...this.#work, told_waiting: true };
    if (isTold || this.#owed !== 'unknown') return { again: 'waiting', seconds: this.#pause(LIMITS.look_again_approval_seconds_max) };
    this.#owed = 'ours'; // better twice than never
    return this.#attend(forge, place, deployment.id);
  }

  /** What an error comes to: to be tried again, for it passes by itself; or an end. */
  async #endOf(forge: ForgeAtHand, place: AccountPlace, error: unknown): Promise<End> {
    this.#errors.push(error);
    const problem = error instanceof Problem ? error : new Problem('internal', 'The Worker’s log has the reason. The commit can be deployed again.', {}, error);
    // Work that has a deployment continues, whatever keeps us from looking at it.
    const isRefused = ['own_approval', 'not_approved', 'rehearsal_missing', 'environment_rule', 'no_grant'].includes(problem.slug);
    const mayPass = isRefused
      ? false
      : this.#work.deployment === null
        ? problem.exit === 3 && problem.slug !== 'secrets_missing'
        : !HOPELESS.includes(problem.slug);
    const isEnough = this.#work.looks + 1 >= LIMITS.forge_tries_count_max || (this.#try.isLast && this.#work.deployment === null);
    if (!mayPass || isEnough) {
      await this.#leaveUnknown(forge, problem);
      return { account: accountOfProblem(place, problem) };
    }
    const after = Number(problem.facts.retry_after_seconds ?? 0);
    return { again: 'unreachable', seconds: Math.max(after, this.#pause(LIMITS.look_again_unreachable_seconds_max)) };
  }

  async #tellEnd(forge: ForgeAtHand, account: Account): Promise<ChangeProgress> {
    const others = await this.#take();
    if (others === 'told') return this.#progress('told', null);
    if (others === 'about_it') return this.#progress('at_work', this.#pause(LIMITS.look_again_seconds_max));
    const hidden = hideAccount(this.#desk, account);
    const error = await this.#tell(forge, hidden);
    if (error === undefined) {
      await this.#settle(null);
      return this.#progress('told', null);
    }
    // What is refused is refused again: a permission is missing, say, and the log has it.
    const isEnough = this.#work.looks + 1 >= LIMITS.forge_tries_count_max || (error instanceof Problem && error.slug === 'forge_refused');
    this.#work = { ...this.#work, account: cutToMessage(hidden) };
    if (isEnough) {
      await this.#settle(null);
      return this.#progress('untold', null);
    }
    const pause = this.#pause(LIMITS.look_again_unreachable_seconds_max);
    await this.#leave(forge, pause + (this.#desk.isKept ? HOLD_SLACK_SECONDS : 0));
    return this.#progress('untold', pause);
  }

  /** Makes sure that nobody else reports the same. @returns what others do, or have done */
  async #take(): Promise<'nothing' | 'told' | 'about_it'> {
    const { deployment, target } = this.#work;
    if (this.#owed !== 'unknown' || deployment === null) return 'nothing';
    this.#owed = 'ours';
    try {
      const of = { deployment, key: await keyOfWork(this.#work) };
      const { taken, is_owed } = await this.#desk.takeOwed(this.#target(target), { seconds: this.#holdSeconds(), count: 1, of });
      return taken.length > 0 ? 'nothing' : is_owed ? 'about_it' : 'told';
    } catch (error) {
      this.#errors.push(error); // better twice than never
      return 'nothing';
    }
  }

  /** Leaves the report to whoever comes by when the deployment is over. @param seconds in which nobody should try */
  async #leave(forge: ForgeAtHand, seconds: number): Promise<void> {
    await this.#settle(() => writeOwed(forge, this.#work, seconds));
  }

  /** The state of the deployment is not known, or somebody has to bring something first: whoever sees its end reports that, too. */
  async #leaveUnknown(forge: ForgeAtHand, { slug, facts }: Problem): Promise<void> {
    const { deployment } = this.#work;
    if (slug === 'secrets_missing' && typeof facts.deployment === 'string') {
      this.#work = { ...this.#work, deployment: facts.deployment };
      this.#owed = 'ours';
      await this.#leave(forge, 0);
      this.#work = { ...this.#work, deployment };
    }
    this.#owed = 'none';
  }

  /** @param left null: it was reported, and is no longer owed */
  async #settle(left: (() => Promise<OwedCall>) | null): Promise<void> {
    const { deployment, target } = this.#work;
    if (this.#owed !== 'ours' || deployment === null) return;
    try {
      const settled = { deployment, ...(left === null ? { key: await keyOfWork(this.#work) } : await left()) };
      await this.#desk.settleOwed(this.#target(target), [settled]);
    } catch (error) {
      this.#errors.push(error); // it is owed for a while, and told once more
    }
  }

  /** What waits for its second person in a moment is told as that: no forge lets a status go back from what runs to what waits. */
  async #tellBeginning(forge: ForgeAtHand, place: AccountPlace): Promise<void> {
    if (place.mode === 'apply' && protectionOf(this.#desk.config, place.target)?.second_person === true) return;
    await this.#tell(forge, accountOfBeginning(place));
  }

  /** @returns what has kept the forge from knowing it, if something did */
  async #tell(forge: ForgeAtHand, account: Account): Promise<unknown> {
    const { reports, error } = await forge.client.report(this.#work.change, account, this.#work.reports);
    this.#work = { ...this.#work, reports: { ...reports } };
    if (error !== undefined) this.#errors.push(error);
    return error;
  }

  #target(name: string): Target {
    const target = this.#desk.config.targets.get(name);
    if (target === undefined) throw new Problem('unknown_target', `The configuration has no target "${name}".`, { target: name });
    return target;
  }

  #holdSeconds(): number {
    return Math.ceil(this.#deadlineMs / 1000) + HOLD_SLACK_SECONDS;
  }

  #pause(most: number): number {
    return Math.min(LIMITS.look_again_seconds_first * 2 ** Math.min(this.#work.looks, 30), most);
  }

  #progress(finding: ChangeFinding, again_seconds: number | null): ChangeProgress {
    const looks = finding === 'waiting' || finding === 'at_work' ? Math.min(this.#work.looks + 1, LOOKS_WELL_MAX) : this.#work.looks + 1;
    const work = { ...this.#work, looks };
    return { finding, work, again_seconds, state: this.#state, stale: this.#stale, errors: this.#errors };
  }
}
