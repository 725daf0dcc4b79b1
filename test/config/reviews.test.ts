/** A source for GitHub's reviewers: it approves, needs the grant for that, and nothing else approves. */
import { expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import { problemOf } from './problems.ts';

const parse = (source: object, actions: readonly string[] = ['approve'], kind = 'github') =>
  parseConfig({
    origin: 'https://weft.example.com',
    targets: { shop: { database: 'A', transport: 'tcp' } },
    callers: { hub: { forge: { kind, webhook_secrets: ['B'], token: 'C' } } },
    grants: [{ caller: 'hub', targets: ['shop'], actions }],
    sources: [{ forge: 'hub', repository_id: '7', target: 'shop', ...source }],
  });
const REVIEW = { event: 'deployment_review', environment: 'production' };
const PUSH = { event: 'push', branch: 'main' };

it('approves, said or not', () => {
  for (const mode of [undefined, 'approve']) expect(parse({ ...REVIEW, ...(mode && { mode }) }).sources).toMatchObject([{ mode: 'approve' }]);
});

it.each<[string, object, readonly string[], string]>([
  ['without the grant', REVIEW, ['deploy'], 'sources[0].target: no grant lets "hub" approve on "shop"'],
  ['to deploy', { ...REVIEW, mode: 'apply' }, ['approve'], 'sources[0].mode: a deployment_review approves'],
  ['of a push', { ...PUSH, mode: 'approve' }, ['deploy'], 'sources[0].mode: a deployment_review approves, and nothing else does'],
  ['without an environment', { event: 'deployment_review' }, ['approve'], 'sources[0].environment: is missing'],
  ['with a grant that nothing reads', PUSH, ['deploy', 'approve'], '"approve" would be read by nobody'],
])('is refused %s, by its key', async (_, source, actions, words) => {
  expect((await problemOf(() => parse(source, actions))).message).toContain(words);
});

it('is GitHub’s alone', async () => {
  expect((await problemOf(() => parse(REVIEW, ['approve'], 'gitlab'))).message).toContain('sources[0].event: expected one of');
});
