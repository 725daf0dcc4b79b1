/**
 * `npm run chaos:full-disk -- --seed S --rounds N`, as root on Linux: deployments whose disk is full for a while. A small file system is
 * mounted for it, with the database in it, or, with `--of wal`, the server's log of changes: without room for that the server ends itself, and is started again when there is some. Somebody else fills it at any time, and makes room again. Then the same trigger comes until the deployment is over; if it has failed by then, because a file met the full disk, the bundle
 * is deployed again. In the end all is as without it.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statfsSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Deployment } from '../../src/domain/deployment.ts';
import { withDatabase } from '../support/database.ts';
import { sqlAnew as sql } from '../support/sql.ts';
import { BUNDLE } from './bundle.ts';
import { judge } from './facts.ts';
import { randomOf } from './plan.ts';
import { compare, endLane, makeDatabase, send, startLane } from './round.ts';
import { DEPLOY, triggerOf } from './stories.ts';
import { cutPower } from './strikes.ts';

const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, rounds: { type: 'string', default: '20' }, of: { type: 'string', default: 'data' } },
});
const isOfWal = values.of === 'wal';
const random = randomOf(Number(values.seed));
const triggers_count_max = 40;
const step_bytes = 256 * 1024;

const lane = await startLane(DEPLOY);
const { postgres } = lane.server;
const { home } = postgres as unknown as { home: string };
const owner = statSync(join(home, 'data'));
const small = mkdtempSync('/var/tmp/weft-full-');
chmodSync(small, 0o755);
execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${isOfWal ? 192 : 96}m`, 'tmpfs', small]);

const filler = join(small, 'filler');
function fill(leavesBytes: number): void {
  const { bavail, bsize } = statfsSync(small);
  for (let bytes = bavail * bsize - leavesBytes; bytes > 0; bytes -= step_bytes) {
    // meanwhile the deployment takes of it, too
    if (spawnSync('fallocate', ['-l', String(bytes), filler], { stdio: 'ignore' }).status === 0) return;
  }
}

/** So that there is as little of it as can be, and none that is kept to be written anew. */
async function moveWal(folder: string): Promise<void> {
  for (const setting of ["min_wal_size = '32MB'", "max_wal_size = '48MB'", 'wal_recycle = off']) await sql(postgres.url, `alter system set ${setting}`);
  const wal = join(home, 'data', 'pg_wal');
  await postgres.kill9();
  execFileSync('cp', ['-a', `${wal}/.`, folder]);
  rmSync(wal, { recursive: true });
  symlinkSync(folder, wal);
  await postgres.restart();
}

/** @returns whether the server had ended itself, and was started again */
async function revive(): Promise<boolean> {
  const isUp = await sql(postgres.url, 'select 1').then(
    () => true,
    () => false,
  );
  if (!isUp) await cutPower(lane.server);
  return !isUp;
}

try {
  const folder = join(small, 'of-postgres');
  mkdirSync(folder);
  chownSync(folder, owner.uid, owner.gid);
  if (isOfWal) await moveWal(folder);
  else {
    await sql(postgres.url, `create tablespace small location '${folder}'`);
    await sql(postgres.url, 'grant create on tablespace small to weft_test');
  }
  const make = async (name: string): Promise<string> => {
    if (isOfWal) return makeDatabase(lane, name);
    await sql(postgres.url, `drop database if exists ${name} with (force)`);
    await sql(postgres.url, `create database ${name} owner weft_test template ${lane.template} tablespace small`);
    return withDatabase(lane.server.url, name);
  };
  const undisturbed = await make('weft_chaos_disk_0');
  await send(lane, undisturbed, 'tcp', await DEPLOY.begin(undisturbed, 'undisturbed'));
  const { end: wanted } = await judge(undisturbed, DEPLOY);
  await sql(postgres.url, 'drop database weft_chaos_disk_0');

  const tally = { rounds: 0, hit: 0, died: 0, failed: 0, triggers: 0, faults: 0 };
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    const url = await make('weft_chaos_disk');
    await sql(postgres.url, 'checkpoint');
    const diedBefore = tally.died;
    const faults: string[] = [];
    const ends: Deployment[] = [];
    const triggerAs = (id: string) =>
      triggerOf(BUNDLE, { id, bundle: 'chaos' }, (end) => ['succeeded', 'degraded', 'failed', 'cancelled'].includes(end.state) && ends.push(end) > 0);
    const trigger = await triggerAs(`round-${round}`);
    const [atMs, forMs, leaves] = [random() * 900, 300 + random() * 1500, Math.floor(random() * 400_000)];
    const blow = (async () => {
      await sleep(atMs);
      fill(isOfWal ? 0 : leaves);
      // what is begun of it has its room already
      if (isOfWal) await sql(postgres.url, 'select pg_switch_wal()').catch(() => undefined);
      await sleep(forMs);
      rmSync(filler, { force: true });
      if (isOfWal && (await revive())) tally.died += 1;
    })();
    let isOver = await send(lane, url, 'tcp', trigger).catch(() => false);
    await blow;
    let triggers = 0;
    for (; !isOver && triggers < triggers_count_max; triggers += 1) {
      isOver = await send(lane, url, 'tcp', trigger).catch(() => false);
      if (!isOver) await sleep(100);
    }
    if (!isOver) faults.push(`it is not over after ${triggers} more triggers`);
    const [first] = ends;
    const states = await sql(
      url,
      "select count(*)::int as count from weft.events where kind in ('step_failed', 'waiting', 'step_tolerated') and data::text like '%53100%'",
    );
    if (first?.state === 'failed') {
      tally.failed += 1;
      if (!/5310|WF0|53100|disk|space/i.test(JSON.stringify(first.error))) faults.push(`it failed of something else: ${JSON.stringify(first.error)}`);
      // what the deployment that failed has left is what it says: so the next one needs no human act
      const again = await triggerAs(`round-${round}-again`);
      await send(lane, url, 'tcp', again);
      if (ends.at(-1)?.state !== 'degraded') faults.push(`deployed again it is ${JSON.stringify(ends.at(-1)?.error)}`);
      const { end, leftovers } = await judge(url, DEPLOY);
      faults.push(...leftovers, ...compare({ ...wanted, rows: end.rows, fingerprint: end.fingerprint }, wanted));
    } else {
      const { end, leftovers, discrepancies } = await judge(url, DEPLOY);
      faults.push(...leftovers, ...discrepancies, ...compare(end, wanted));
    }
    tally.rounds += 1;
    tally.triggers += triggers;
    if (triggers > 0 || tally.died > diedBefore || first?.state === 'failed' || states[0].count > 0) tally.hit += 1;
    if (faults.length > 0) {
      tally.faults += 1;
      console.log(
        `✗ round ${round}: full after ${Math.round(atMs)} ms for ${Math.round(forMs)} ms but for ${leaves} bytes\n    ${[...new Set(faults)].join('\n    ')}`,
      );
      console.log(JSON.stringify(first?.error));
    }
  }
  console.log(`full disk of ${values.of}, seed ${values.seed}:`, JSON.stringify(tally));
} finally {
  await endLane(lane).catch((error: unknown) => console.log(error));
  execFileSync('umount', [small]);
  rmSync(small, { recursive: true });
}
