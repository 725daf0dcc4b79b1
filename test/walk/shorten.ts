/** A history that shows a fault, made as short as it still shows it: days are taken out, half of them first, then what is done on a day. */
import type { Day, Deed } from './history.ts';

/** @param shows plays a history, and tells whether it shows the same fault @returns the shortest that was found */
export async function shorten(days: readonly Day[], shows: (days: readonly Day[]) => Promise<boolean>): Promise<readonly Day[]> {
  const withoutDays = await takeOut(days, shows);
  const plain = await simplify(withoutDays, shows);
  let shortest = plain;
  for (let at = 0; at < shortest.length; at += 1) {
    const day = shortest[at] as Day;
    const put = (edits: Day['edits']): Day[] => shortest.map((other, index) => (index === at ? { ...day, edits } : other));
    const edits = await takeOut(day.edits, (left) => shows(put(left)));
    shortest = put(edits);
  }
  return takeOut(shortest, shows);
}

/** Takes out of a list what is not needed: stretches of it, halved until they are single. */
async function takeOut<T>(list: readonly T[], holds: (left: readonly T[]) => Promise<boolean>): Promise<readonly T[]> {
  let left = list;
  for (let size = Math.max(1, Math.floor(left.length / 2)); ; size = Math.floor(size / 2)) {
    for (let end = left.length; end > 0; end -= size) {
      const without = [...left.slice(0, Math.max(0, end - size)), ...left.slice(end)];
      if (without.length < left.length && (await holds(without))) left = without;
    }
    if (size <= 1) return left;
  }
}

/** Without rehearsals, blows and the like, where the fault shows without them. */
async function simplify(days: readonly Day[], shows: (days: readonly Day[]) => Promise<boolean>): Promise<readonly Day[]> {
  let plain = days;
  for (let at = 0; at < plain.length; at += 1) {
    for (const deed of plainer((plain[at] as Day).deed)) {
      const tried = plain.map((day, index) => (index === at ? { ...day, deed } : day));
      if (await shows(tried)) {
        plain = tried;
        break;
      }
    }
  }
  return plain;
}

function plainer(deed: Deed): Deed[] {
  if (deed.do === 'resume') return deed.blow === undefined ? [] : [{ do: 'resume', back: deed.back }];
  if (deed.do === 'undo') return deed.blow === undefined ? [] : [{ do: 'undo', isPartly: deed.isPartly }];
  if (deed.do === 'move') return deed.amidMs === undefined ? [{ do: 'nothing' }] : [{ do: 'move', how: deed.how }];
  if (deed.do !== 'deploy') return [];
  const { upTo, blow, isBeside, isTwice } = deed;
  const whole = { do: 'deploy', isRehearsed: false, isRepeated: false } as const;
  const forms: Deed[] = [whole];
  if (upTo !== undefined) forms.push({ ...whole, upTo });
  if (blow !== undefined) forms.push({ ...whole, blow });
  if (isTwice === true) forms.push({ ...whole, isTwice });
  if (isBeside === true) forms.push({ ...whole, isBeside });
  if (deed.isRehearsed) forms.push({ ...whole, isRehearsed: true });
  if (deed.isRepeated) forms.push({ ...whole, isRepeated: true });
  return forms.filter((form) => JSON.stringify(form) !== JSON.stringify(deed));
}
