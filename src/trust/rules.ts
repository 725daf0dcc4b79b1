/**
 * The rules of a target's environment. Branches and hours are applied to a request that is proved and granted, and the hours again to
 * an approval: they are for what changes the database from now on. A rehearsal leaves nothing, and what was begun may be continued,
 * cancelled and taken back at any hour, by whoever may. Rules that ask the database (a second person, a rehearsal first) go there with
 * the request.
 */
import type { Config } from '../config/config.ts';
import { DAYS, type Environment, type Hours } from '../config/environments.ts';
import { matchesPattern } from '../config/pattern.ts';
import type { Protection } from '../domain/approval.ts';
import type { Deployment } from '../domain/deployment.ts';
import { Problem } from '../domain/problem.ts';
import { DIRECT_CALLER, type WeftRequest } from '../domain/request.ts';
import { requireGrant } from './grants.ts';

export interface Circumstances {
  /** The branch that is proved, by a token or by a forge; null: none is. */
  readonly branch: string | null;
  /** Since 1970. */
  readonly nowSeconds: number;
}

/** @throws Problem environment_rule, which names the rule */
export function requireRules(config: Config, request: WeftRequest, circumstances: Circumstances): void {
  if (request.type !== 'deploy' || request.mode === 'rehearse' || request.target === null) return;
  const environment = config.environments.get(config.targets.get(request.target)?.environment ?? '');
  if (environment === undefined) return;
  requireBranch(environment, request.target, circumstances.branch);
  requireHours(environment, request.target, circumstances.nowSeconds);
}

/** What the environment of a target asks of every deployment there that is opened; null when it asks nothing. */
export function protectionOf(config: Config, target: string): Protection | null {
  const environment = config.environments.get(config.targets.get(target)?.environment ?? '');
  const { second_person = false, rehearsal_first = false } = environment ?? {};
  return environment === undefined || !(second_person || rehearsal_first) ? null : { environment: environment.name, second_person, rehearsal_first };
}

/**
 * What waits for its approval may start now, and whoever has opened it may still do so.
 * @throws Problem environment_rule, no_grant
 */
export function requireApprovable(config: Config, target: string, { caller, mode, undoes }: Deployment, nowSeconds: number): void {
  const action = undoes ? 'undo' : mode === 'baseline' ? 'baseline' : 'deploy';
  if (caller !== DIRECT_CALLER) requireGrant(config, caller ?? '', action, target);
  const environment = config.environments.get(config.targets.get(target)?.environment ?? '');
  if (environment !== undefined && action !== 'undo') requireHours(environment, target, nowSeconds, NOT_APPROVED);
}

const NOTHING_ASKED = 'No database was asked.';
const NOT_APPROVED = 'It was not approved, and waits on.';

function requireBranch({ name, branches }: Environment, target: string, branch: string | null): void {
  if (branches === undefined || (branch !== null && branches.some((pattern) => matchesPattern(pattern, branch)))) return;
  const came =
    branch === null
      ? 'nothing proves from which branch this comes: an identity token of GitHub or GitLab does, of a job that runs for a branch'
      : `this comes from "${branch}"`;
  throw refusal(name, 'branches', target, `takes only what comes from ${branches.map((one) => `"${one}"`).join(' or ')}, and ${came}`);
}

function requireHours({ name, hours }: Environment, target: string, nowSeconds: number, outcome = NOTHING_ASKED): void {
  if (hours === undefined) return;
  const { day, minutes } = timeIn(hours.zone, nowSeconds);
  if (hours.days.includes(day) && minutes >= hours.from && minutes < hours.until) return;
  const when = `${hours.days.join(', ')} from ${shown(hours.from)} to ${shown(hours.until)}`;
  throw refusal(name, 'hours', target, `takes deployments on ${when} (${hours.zone}), and there it is ${day} ${shown(minutes)}`, outcome);
}

function refusal(environment: string, rule: string, target: string, what: string, outcome = NOTHING_ASKED): Problem {
  return new Problem('environment_rule', `The environment "${environment}" of the target "${target}" ${what}. ${outcome}`, {
    environment,
    rule,
    target,
  });
}

function timeIn(zone: string, nowSeconds: number): { readonly day: Hours['days'][number]; readonly minutes: number } {
  const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  const parts = new Map(format.formatToParts(new Date(nowSeconds * 1000)).map(({ type, value }) => [type, value]));
  const day = DAYS.find((one) => one === parts.get('weekday')?.toLowerCase());
  if (day === undefined) throw new Error('a day of the week is one of seven');
  return { day, minutes: Number(parts.get('hour')) * 60 + Number(parts.get('minute')) };
}

function shown(minutes: number): string {
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
}
