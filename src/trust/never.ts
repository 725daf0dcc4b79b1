/**
 * What a configuration allows, but can never take effect: each part of it is right, and together they refuse everything. It is reported
 * by its key, as a warning: nothing of it is unsafe, and somebody may be about to grant what is missing.
 */
import type { Caller, Config, Environment, Source } from '../config/config.ts';
import { matchesPattern } from '../config/pattern.ts';
import type { Action } from '../domain/request.ts';
import { mayDo } from './grants.ts';

/** Which open something that an approval is asked for. */
const OPENING: readonly Action[] = ['deploy', 'undo', 'baseline'];

/** @returns sentences, each of which begins with the key that it is about */
export function findNever(config: Config): string[] {
  return [...idleParts(config), ...[...config.targets.values()].flatMap((target) => findAt(config, target.name, target.environment))];
}

function idleParts({ callers, grants, sources, environments, targets }: Config): string[] {
  const warnings: string[] = [];
  for (const { name, forge } of callers.values()) {
    if (!grants.some(({ caller }) => caller === name)) warnings.push(`callers.${name}: no grant is its own; whatever it asks is refused`);
    else if (forge !== undefined && !sources.some((source) => source.forge === name))
      warnings.push(`callers.${name}: no source follows it; all its webhooks are ignored`);
  }
  for (const name of environments.keys())
    if (![...targets.values()].some(({ environment }) => environment === name))
      warnings.push(`environments.${name}: no target is in it; nobody keeps its rules`);
  for (const [index, grant] of grants.entries()) {
    const reached = [...targets.values()].filter(({ name }) => grant.targets.some((pattern) => matchesPattern(pattern, name)));
    const isAsked = reached.some(({ environment }) => environments.get(environment ?? '')?.second_person === true);
    if (grant.actions.includes('approve') && !isAsked)
      warnings.push(`grants[${index}].actions: "approve", and no target that it reaches asks for a second person`);
  }
  return warnings;
}

function findAt(config: Config, target: string, environmentName: string | undefined): string[] {
  const where = `targets.${target}`;
  const callers = [...config.callers.values()];
  const mayOpen = callers.filter(({ name }) => OPENING.some((action) => mayDo(config, name, action, target)));
  if (!callers.some(({ name }) => mayDo(config, name, 'deploy', target))) return [`${where}: no grant lets anybody deploy there`];
  const environment = config.environments.get(environmentName ?? '');
  if (environment === undefined) return [];
  return [
    ...(environment.second_person === true ? findUnapprovable(config, where, environment, target, mayOpen) : []),
    ...(environment.rehearsal_first === true ? findUnrehearsed(config, environment, target, mayOpen) : []),
    ...(environment.branches === undefined ? [] : findUnprovable(config, where, environment, environment.branches, target, mayOpen)),
  ];
}

/** Nobody approves what they have opened. */
function findUnapprovable(config: Config, where: string, { name }: Environment, target: string, mayOpen: readonly Caller[]): string[] {
  const approvers = [...config.callers.keys()].filter((caller) => mayDo(config, caller, 'approve', target)); // a forge too, where a source has it do so
  const end = 'what waits there is cancelled when its time is over';
  if (approvers.length === 0)
    return [`${where}.environment: "${name}" asks for a second person, and no grant gives "approve" on "${target}" to anybody; ${end}`];
  return mayOpen
    .filter((caller) => approvers.every((approver) => approver === caller.name))
    .map(
      (caller) => `${where}.environment: "${name}" asks for a second person, and nobody but "${caller.name}" may approve what "${caller.name}" opens; ${end}`,
    );
}

/** A webhook can only rehearse where a source says so; everybody else who may deploy may rehearse. */
function findUnrehearsed({ sources }: Config, { name }: Environment, target: string, mayOpen: readonly Caller[]): string[] {
  if (mayOpen.some(({ forge }) => forge === undefined)) return [];
  const isSame = (one: Source, other: Source) => one.repository_id === other.repository_id && one.folder === other.folder && textOf(one) === textOf(other);
  return sources.flatMap((source, index) =>
    source.target !== target ||
    source.mode !== 'apply' ||
    sources.some((other) => other.target === target && other.mode === 'rehearse' && isSame(source, other))
      ? []
      : [
          `sources[${index}].target: the environment "${name}" of "${target}" asks for a rehearsal first, and nobody can rehearse this there with these parameters: each of its deployments is refused`,
        ],
  );
}

function textOf({ parameters }: Source): string {
  return JSON.stringify(Object.entries(parameters ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A key proves no branch, nor does a token of Azure; what is proposed for a branch does not come from it. */
function findUnprovable(
  config: Config,
  where: string,
  { name }: Environment,
  branches: readonly string[],
  target: string,
  mayOpen: readonly Caller[],
): string[] {
  const takes = (branch: string) => branches.some((pattern) => matchesPattern(pattern, branch));
  const only = `"${name}" takes only what comes from ${branches.map((one) => `"${one}"`).join(' or ')}`;
  const ofCallers = mayOpen
    .filter(({ name: caller }) => mayDo(config, caller, 'deploy', target) || mayDo(config, caller, 'baseline', target))
    .flatMap(({ name: caller, identity, forge }) => {
      if (forge !== undefined) return [];
      const words = `${where}.environment: ${only}, and "${caller}"`;
      if (identity === undefined) return [`${words} proves no branch, for it has a key alone: it can only rehearse there`];
      if (identity.kind === 'azure') return [`${words} proves no branch, for no token of Azure does: it can only rehearse there`];
      const refs = identity.claims.ref?.map((ref) => ref.replace(/^refs\/heads\//, '')) ?? [];
      return refs.length > 0 && !refs.some(takes) ? [`${words} is held to ref ${refs.map((ref) => `"${ref}"`).join(' or ')}: it can only rehearse there`] : [];
    });
  const ofSources = config.sources.flatMap((source, index) => {
    if (source.target !== target || source.mode !== 'apply') return [];
    if (source.event === 'pull_request' || source.event === 'merge_request')
      return [`sources[${index}].mode: ${only}, and a ${source.event} proves no branch: each of its deployments is refused`];
    const isName = source.branch !== undefined && !source.branch.includes('*');
    return isName && !takes(source.branch ?? '') ? [`sources[${index}].branch: ${only}: each deployment from "${source.branch}" is refused`] : [];
  });
  return [...ofCallers, ...ofSources];
}
