/**
 * Reports to forges what they are owed: how deployments ended that their events have asked for, whoever had them run, and however long
 * that took. Called by whoever has just been at a database, when something has ended there.
 */
import { accountOfDeployment } from '../forges/account.ts';
import { carryOut } from './change.ts';
import type { ChangeDesk, ChangeProgress } from './desk.ts';
import { readOwed } from './owed.ts';
import { cutToMessage, hideAccount } from './written.ts';

/** One answer of a forge takes seconds at most, and an account is a few of them. */
const HELD_SECONDS = 180;
/** A forge that takes long to say nothing may be waited for so long; what is still due then is left to the next. */
const STAY_SECONDS = 120;

/**
 * Takes one at a time, what has been due the longest first: whoever dies here has tried, and holds, no more than one.
 * @param target its name
 * @returns what became of each that was tried; nothing is asked where no forge could be told
 * @throws Problem what keeps us from the database
 */
export async function tellOwed(desk: ChangeDesk, target: string): Promise<readonly ChangeProgress[]> {
  const at = desk.config.targets.get(target);
  if (at === undefined || desk.forges.size === 0) return [];
  const until = desk.now() + STAY_SECONDS * 1000;
  const tried: ChangeProgress[] = [];
  do {
    const [owed] = (await desk.takeOwed(at, { seconds: HELD_SECONDS, count: 1, of: null })).taken;
    if (owed === undefined) break;
    const { key, deployment, tries } = owed;
    const work = await readOwed(desk.forges, target, owed);
    if (work === null) {
      // The forge is not in the configuration any more, or has other secrets; or it was not a Worker who wrote this.
      await desk.settleOwed(at, [{ deployment: deployment.id, key }]);
      continue;
    }
    const account = accountOfDeployment({ target, folder: work.folder ?? '', mode: work.mode ?? 'apply' }, deployment);
    const known = { ...work, deployment: deployment.id, account: cutToMessage(hideAccount(desk, account)), looks: tries - 1 };
    // No message of the queue has it: what is left of it is for whoever comes next.
    tried.push(await carryOut({ ...desk, isKept: false }, known, 0));
  } while (desk.now() < until);
  return tried;
}
