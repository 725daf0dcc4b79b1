/** Which sources of the configuration follow a change. */
import type { Source } from '../config/forges.ts';
import { matchesPattern } from '../config/pattern.ts';
import type { Change } from '../domain/change.ts';

/** @param forge the caller that has told of it */
export function findSources(sources: readonly Source[], forge: string, change: Change): Source[] {
  return sources.filter(
    (source) =>
      source.forge === forge &&
      source.repository_id === change.repository.id &&
      source.event === change.event &&
      (source.branch === undefined || (change.branch !== null && matchesPattern(source.branch, change.branch))) &&
      (source.environment === undefined || source.environment === change.environment) &&
      (source.workflow === undefined || isWorkflow(source.workflow, change.workflow)),
  );
}

/** The whole name; of a file, also without its folders. */
function isWorkflow(wanted: string, workflow: string | null): boolean {
  return workflow !== null && (wanted === workflow || (!wanted.includes('/') && wanted === workflow.split('/').at(-1)));
}
