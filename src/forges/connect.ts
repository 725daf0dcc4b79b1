/** From callers that are forges to what can be asked of them; and which kinds of webhooks are understood. */
import type { Config } from '../config/config.ts';
import type { Secrets } from '../config/secrets.ts';
import type { ForgeKind } from '../domain/change.ts';
import { azure, connectAzure } from './azure/azure.ts';
import type { Dialect, ForgeAtHand, ForgeSurroundings } from './forge.ts';
import { connectGitHub, github } from './github/github.ts';
import { connectGitLab, gitlab } from './gitlab/gitlab.ts';

/** The webhooks of each kind of forge. */
export const DIALECTS: Readonly<Record<ForgeKind, Dialect>> = { github, gitlab, azure };

const CONNECT = { github: connectGitHub, gitlab: connectGitLab, azure: connectAzure } as const;

/** Asks nobody: a forge is asked when something has come from it. */
export function connectForges(config: Config, secrets: Secrets, surroundings: ForgeSurroundings): Map<string, ForgeAtHand> {
  const forges = new Map<string, ForgeAtHand>();
  for (const { name, forge } of config.callers.values()) {
    const own = secrets.forges.get(name);
    if (forge === undefined || own === undefined) continue;
    forges.set(name, { name, kind: forge.kind, webhooks: own.webhooks, client: CONNECT[forge.kind](forge, own, surroundings) });
  }
  return forges;
}
