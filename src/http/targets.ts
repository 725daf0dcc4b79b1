/** Targets by name. */
import type { Target } from '../config/config.ts';
import { Problem } from '../domain/problem.ts';
import type { Ports } from './ports.ts';

/** @throws Problem unknown_target */
export function findTarget(ports: Pick<Ports, 'config'>, name: string): Target {
  const target = ports.config.targets.get(name);
  if (target === undefined)
    throw new Problem('unknown_target', `The configuration of this Worker has no target "${name}". No database was asked.`, { target: name });
  return target;
}
