/**
 * Tells forges what they are owed: how deployments ended that their events have asked for, whoever had them run, and however long that took. Called
 * by whoever has just been at a database, when it has come to an end there.
 */
import { accountOfDeployment } from '../forges/account.ts';
import { mayDo } from '../trust/grants.ts';
import { carryOut } from './change.ts';
import type { ChangeDesk, ChangeProgress } from './desk.ts';
import { readOwed } from './owed.ts';
import { cutToMessage, hideAccount } from './written.ts';

/** One answer of a forge takes seconds at most, and an account is a few of them. */
const HELD_SECONDS = 180;
const TAKEN_COUNT_MAX = 20;

/**
 * @param target its name
 * @returns what became of each that was due; nothing is asked where no forge may deploy to this target
 * @throws Problem what keeps us from the database
 */
export async function tellOwed(desk: ChangeDesk, target: string): Promise<readonly ChangeProgress[]> {
  const at = desk.config.targets.get(target);
  const mayDeploy = [...desk.forges.keys()].some((name) => mayDo(desk.config, name, 'deploy', target));
  if (at === undefined || !mayDeploy) return [];
  const { taken } = await desk.takeOwed(at, { seconds: HELD_SECONDS, count: TAKEN_COUNT_MAX, of: null });
  const told: ChangeProgress[] = [];
  for (const owed of taken) {
    const { key, deployment, tries } = owed;
    const work = await readOwed(desk.forges, target, owed);
    if (work === null) {
      // The forge is not in the configuration any more, or has other secrets; or it was not a Worker who wrote this.
      await desk.settleOwed(at, [{ deployment: deployment.id, key }]);
      continue;
    }
    const account = accountOfDeployment({ target, folder: work.folder ?? '', mode: work.mode ?? 'apply' }, deployment);
    const known = { ...work, deployment: deployment.id, account: cutToMessage(hideAccount(desk, account)), looks: tries - 1 };
    told.push(await carryOut(desk, known, 0));
  }
  return told;
}
