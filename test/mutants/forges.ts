/** The guards of what comes from forges. */
import type { Mutant } from './mutants.ts';

export const FORGE_MUTANTS: readonly Mutant[] = [
  {
    guard: 'A webhook of GitHub counts only with a signature over its very bytes',
    file: 'src/trust/hub_signature.ts',
    find: 'async (secret) => isSame(await makeHmac(new TextEncoder().encode(secret), body), given)',
    replace: 'async (secret) => (await isSame(await makeHmac(new TextEncoder().encode(secret), body), given)) || true',
    test: 'test/http/webhooks.test.ts',
    named: 'a byte of the body bent',
  },
  {
    guard: 'An event that a header calls otherwise than it is has the form of none',
    file: 'src/forges/github/events.ts',
    find: '  deployment_status: absent,\n',
    replace: '',
    test: 'test/http/webhooks.test.ts',
    named: 'a status of a deployment as a deployment',
  },
  {
    guard: 'A forge says that a commit is still the head before a database is woken',
    file: 'src/operations/change.ts',
    find: 'if (confirmed.stale !== null) return',
    replace: 'if (confirmed.stale === undefined) return',
    test: 'test/operations/change.test.ts',
    named: 'a commit that is not the head any more',
  },
  {
    guard: 'Nothing of a fork is fetched',
    file: 'src/forges/github/events.ts',
    find: 'if (head.repo?.id !== repository.id || base.repo.id !== repository.id)',
    replace: 'if (base.repo.id !== repository.id)',
    test: 'test/http/webhooks.test.ts',
    named: 'what nothing follows from is no error',
  },
  {
    guard: 'What is proposed for a branch does not count as coming from it',
    file: 'src/forges/github/confirm.ts',
    find: 'return { branch: null, stale: null };',
    replace: 'return { branch: change.branch, stale: null };',
    test: 'test/forges/confirm.test.ts',
    named: 'a pull request proves no branch',
  },
  {
    guard: 'An archive is fetched from the one origin that is configured',
    file: 'src/forges/asking.ts',
    find: 'url === null || (url.origin !== archives && url.origin !== new URL(api).origin)',
    replace: 'url === null',
    test: 'test/forges/asking.test.ts',
    named: 'https://evil.test/a.tgz',
  },
  {
    guard: 'What proves Weft to a forge goes to its API alone',
    file: 'src/forges/asking.ts',
    find: 'this.#headersOf(isSameOrigin ? question.authorization : null)',
    replace: 'this.#headersOf(question.authorization)',
    test: 'test/forges/asking.test.ts',
    named: 'without what proves us there',
  },
  {
    guard: 'A link in the folder of a bundle is refused, also on the way to it',
    file: 'src/bundle/archive.ts',
    find: "inside === this.#folder || (kind !== 'folder' &&",
    replace: 'inside === this.#folder || (false &&',
    test: 'test/bundle/archive.test.ts',
    named: 'a folder above it as a link',
  },
];
