/**
 * Who may do what where: the grants of the configuration, applied. What is not granted is refused.
 */
import type { Config } from '../config/config.ts';
import { matchesPattern } from '../config/pattern.ts';
import { Problem } from '../domain/problem.ts';
import { type Action, DIRECT_CALLER } from '../domain/request.ts';

/** @returns whether some grant gives this caller this action on this target */
export function mayDo(config: Config, caller: string, action: Action, target: string): boolean {
  return config.grants.some(
    (grant) => grant.caller === caller && grant.actions.includes(action) && grant.targets.some((pattern) => matchesPattern(pattern, target)),
  );
}

/**
 * For a caller who is proved.
 * @throws Problem unknown_target when the configuration has no such target, no_grant when it has and this caller may not
 */
export function requireGrant(config: Config, caller: string, action: Action, target: string): void {
  if (!config.targets.has(target)) throw new Problem('unknown_target', `There is no target "${target}" here.`, { target });
  if (!mayDo(config, caller, action, target)) {
    throw new Problem('no_grant', `The caller "${caller}" has no grant to ${action} on the target "${target}".`, { caller, action, target });
  }
}

/** Before the name of a caller whose undos may be run; no name holds a colon. The engine knows the mark too (`weft._next_in_line`). */
const UNDO_MARK = 'undo:';

/**
 * Callers whose deployments to a target may run and, with a mark in front, those whose undos may: what is ahead in line runs under its
 * own caller's grant. Whoever deploys straight to the database has its password and needs no grant.
 */
export function mayBeRun(config: Config, target: string): string[] {
  const mayAll = (action: Action, mark: string) =>
    [...config.callers.keys()]
      .filter((caller) => mayDo(config, caller, action, target))
      .concat(DIRECT_CALLER)
      .map((caller) => mark + caller);
  return [...mayAll('deploy', ''), ...mayAll('undo', UNDO_MARK)];
}
