/** A deployment as it is now: how it ended, or how far it is, and what is going on. Pure. */
import type { Deployment } from '../domain/deployment.ts';
import { renderRehearsal } from './rehearsal.ts';
import type { Style } from './style.ts';
import { renderSummary } from './summary.ts';
import { oneLine } from './text.ts';
import { HELD_BY_STANDBY, waitOf } from './waits.ts';

/** @returns lines, without a line feed at the end */
export function renderStatus(deployment: Deployment, style: Style): string {
  const render = deployment.mode === 'rehearse' ? renderRehearsal : renderSummary;
  return [render(deployment, style), ...liveLines(deployment, style)].join('\n');
}

function liveLines(deployment: Deployment, style: Style): string[] {
  const { live } = deployment;
  const wait = waitOf(deployment);
  const place = live === null ? [] : [live.phase, live.path].filter((part) => part !== null).map(oneLine);
  return [
    ...(live === null
      ? []
      : [
          '',
          `Backend ${live.pid} is ${live.step === null ? 'between two steps' : `at step ${live.step} of ${live.steps ?? '?'}`}${place.length === 0 ? '' : `: ${place.join(': ')}`}.`,
        ]),
    ...(wait === null ? [] : [style.yellow(`Now: ${wait.replace(/\.$/, '')}.`)]),
    ...(live?.committing
      ? [style.yellow(`Now: its last commit waits for a synchronous standby. If it is not through when you look again: ${HELD_BY_STANDBY}`)]
      : []),
  ];
}
