/**
 * Where the tests' database comes from: the one place that reads the environment for it, and says what such a server offers to a test.
 *
 * - nothing said: embedded PostgreSQL 18; WEFT_TEST_POSTGRES names another version (14 to 18).
 * - WEFT_TEST_DATABASE_URL: a server that is there, and is not ours: nobody kills it, nobody is its superuser.
 * - WEFT_TEST_CONTAINER=1: a container of the image postgres:18, or of WEFT_TEST_POSTGRES's version; WEFT_TEST_IMAGE names another image.
 */
import { POSTGRES_VERSIONS, type PostgresVersion } from '../../src/dev/postgres_binaries.ts';

export type Source =
  | { readonly kind: 'embedded'; readonly version: PostgresVersion }
  | { readonly kind: 'given'; readonly url: string }
  | { readonly kind: 'container'; readonly image: string };

/** What some tests need beside an address. */
export type Offer =
  /** A superuser, in `superuserUrl`. */
  | 'a superuser'
  /** Servers of a test's own, to be killed and started again (own_server.ts). */
  | 'servers to kill'
  /** Backends whose pids are pids of this machine, so that a test can stop one. */
  | 'processes to stop';

const OFFERS: Readonly<Record<Source['kind'], readonly Offer[]>> = {
  embedded: ['a superuser', 'servers to kill', 'processes to stop'],
  container: ['a superuser', 'servers to kill'],
  given: [],
};

/**
 * Reads the environment.
 * @throws Error when it names two sources, or a version that there is not; the message says which words to change
 */
export function chooseSource(env: Readonly<Record<string, string | undefined>> = process.env): Source {
  const { WEFT_TEST_DATABASE_URL: url, WEFT_TEST_POSTGRES: wanted, WEFT_TEST_CONTAINER: container, WEFT_TEST_IMAGE: image } = env;
  const version = POSTGRES_VERSIONS.find((known) => known === (wanted || '18'));
  if (version === undefined) throw new Error(`WEFT_TEST_POSTGRES is "${wanted}"; it can be ${POSTGRES_VERSIONS.join(', ')}`);
  if (container && container !== '1') throw new Error(`WEFT_TEST_CONTAINER is "${container}"; it can be 1. The image goes into WEFT_TEST_IMAGE.`);
  if (image && wanted) throw new Error('WEFT_TEST_IMAGE and WEFT_TEST_POSTGRES both choose what to run: leave one of them out');
  if (url && (wanted || container || image)) {
    throw new Error(
      `WEFT_TEST_DATABASE_URL names a server, and ${wanted ? 'WEFT_TEST_POSTGRES' : 'WEFT_TEST_CONTAINER'} asks for one to be started: leave one of them out`,
    );
  }
  if (url) return { kind: 'given', url };
  if (container || image) return { kind: 'container', image: image || `postgres:${version}` };
  return { kind: 'embedded', version };
}

/** Whether the server of this run offers that: for `it.runIf(…)`. What is skipped is said once for the whole run (global_setup.ts). */
export function offers(what: Offer): boolean {
  return OFFERS[chooseSource().kind].includes(what);
}

/** A sentence on what is skipped with this source; null when nothing is. */
export function describeSkipped({ kind }: Source): string | null {
  const missing = OFFERS.embedded.filter((offer) => !OFFERS[kind].includes(offer));
  if (missing.length === 0) return null;
  const where = kind === 'given' ? 'WEFT_TEST_DATABASE_URL names a server that is not ours' : 'The server runs in a container';
  return `${where}: tests that need ${missing.join(', or ')} are skipped.`;
}
