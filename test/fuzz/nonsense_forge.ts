/**
 * A forge that confirms whatever it is asked about, most of the time, and has no archive that a bundle could be read from: by chance from the question, so
 * that the same question has the same answer. Weft may ask it as often as it likes; what comes of that must reach no database.
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { END, entry } from '../bundle/tars.ts';
import { randomOf } from '../chaos/plan.ts';
import { Chance } from './chance.ts';

const COMMIT = 'f'.repeat(40);

export interface NonsenseForge {
  readonly origin: string;
  /** How often it was asked, and how often for an archive. */
  readonly asked: { all: number; archives: number };
  stop(): Promise<void>;
}

export async function startNonsenseForge(seed: number): Promise<NonsenseForge> {
  const asked = { all: 0, archives: 0 };
  const server = createServer((request, response) => {
    asked.all += 1;
    const path = request.url ?? '/';
    const digest = createHash('sha256').update(`${seed} ${request.method} ${path} ${asked.all}`).digest();
    const chance = new Chance(randomOf(digest.readUInt32BE(0)));
    request.resume();
    const send = (status: number, body: unknown) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (/tarball|archive/.test(path)) {
      asked.archives += 1;
      response.writeHead(200, { 'content-type': 'application/x-gzip' }).end(archive(chance));
      return;
    }
    if (chance.happens(0.2)) {
      response.writeHead(chance.pick([200, 204, 301, 400, 401, 404, 418, 422]), { location: '/elsewhere' }).end(chance.happens(0.5) ? chance.text(200) : '');
      return;
    }
    if (request.method !== 'GET') return send(201, { id: chance.number(1000), user: { id: 1 } });
    if (/\/branches\//.test(path)) return send(200, { name: 'main', commit: { id: COMMIT } });
    if (/\/ref\/heads\//.test(path)) return send(200, { ref: 'refs/heads/main', object: { type: 'commit', sha: COMMIT } });
    if (/\/pulls\/\d+$/.test(path)) return send(200, { state: 'open', head: { sha: COMMIT, repo: { id: 1 } }, base: { ref: 'main' } });
    if (/\/merge_requests\/\d+$/.test(path)) return send(200, { state: 'opened', sha: COMMIT, source_project_id: 1, target_branch: 'main' });
    if (/\/(?:comments|notes|statuses|deployments|check-runs)/.test(path)) return send(200, []);
    return send(200, { id: 1, full_name: 'octo/shop', path_with_namespace: 'octo/shop', default_branch: 'main' });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** Of no commit, or with nothing in it that could be run. */
function archive(chance: Chance): Buffer {
  const top = `octo-shop-${COMMIT.slice(0, 7)}`;
  const tar = chance.pick<() => Buffer>([
    () => Buffer.from(chance.bytes(3000)),
    () => Buffer.concat([entry({ name: `${top}/`, type: '5' }), entry({ name: `${top}/a.sql`, type: '2' }), END]),
    () => Buffer.concat([entry({ name: `${top}/`, type: '5' }), entry({ name: `${top}/../a.sql`, body: 'select 1;' }), END]),
    () =>
      Buffer.concat([entry({ name: `${top}/`, type: '5' }), entry({ name: `${top}/weft.yaml`, body: `name: [${chance.text(30).replace(/\]/g, '')}` }), END]),
    () => Buffer.concat([entry({ name: `${top}/`, type: '5' }), entry({ name: `${top}/readme.md`, body: 'nothing to run' }), END]),
    () => Buffer.concat([entry({ name: `${top}/`, type: '5' }), entry({ name: `${top}/a.sql`, body: 'select 1;', spoilt: true }), END]),
    () => Buffer.concat([entry({ name: `${top}/`, type: '5' }), entry({ name: `${top}/a.sql`, body: Buffer.from([0xff, 0xfe, 0]) }), END]),
  ])();
  const zipped = gzipSync(tar);
  return chance.pick([zipped, zipped, zipped, zipped.subarray(0, chance.number(zipped.length)), tar, Buffer.from(chance.bytes(200))]);
}
