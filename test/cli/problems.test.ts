import { describe, expect, it } from 'vitest';
import { asProblem, renderProblem, secretsOf } from '../../src/cli/problems.ts';
import { Problem } from '../../src/domain/problem.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { makeFolder } from './folder.ts';
import { run } from './run.ts';

const ENV = { DATABASE_URL: 'postgres://role:p%40ssword@db.internal.example:6432/shop', WEFT_SECRET: 'whsec_c2VjcmV0' };

describe('what was thrown', () => {
  it('stays what it is when it is a Problem', () => {
    const problem = new Problem('usage', 'No.');
    expect(asProblem(problem, [])).toBe(problem);
  });

  it('loses every secret of the environment and of options when it is anything else', () => {
    const secrets = secretsOf(ENV, { database: 'postgres://other:hunter22@elsewhere.example/x' });
    const words = `${ENV.DATABASE_URL} p%40ssword p@ssword db.internal.example ${ENV.WEFT_SECRET} hunter22 elsewhere.example`;
    const problem = asProblem(new Error(words), secrets);
    expect(problem.slug).toBe('internal');
    for (const secret of ['ssword', 'db.internal', 'c2VjcmV0', 'hunter22', 'elsewhere']) expect(problem.message).not.toContain(secret);
  });

  it('is shown as title and detail, harmless on a terminal', () => {
    expect(renderProblem(new Problem('usage', 'a\u001b[2Jb'), UNCOLOURED)).toBe('weft: The command line is wrong.\n  a\\x1b[2Jb');
  });
});

describe('the heading of a refusal', () => {
  it.each<[string, string[], Record<string, string>]>([
    ['no address', ['status'], {}],
    ['two addresses in the environment', ['status'], { DATABASE_URL: 'postgres://u@127.0.0.1/x', WEFT_URL: 'https://weft.example.com' }],
    ['an address that is none', ['status'], { WEFT_URL: 'weft' }],
    ['a secret that is not there', ['status'], { WEFT_URL: 'https://weft.example.com', WEFT_TARGET: 'shop' }],
    ['a bundle file that is there already', ['init', 'FOLDER'], {}],
  ])('blames the command line only for itself, and not for %s', async (_, argv, env) => {
    const folder = makeFolder({ 'weft.yaml': 'name: shop' });
    const { code, stderr } = await run(
      argv.map((word) => (word === 'FOLDER' ? folder : word)),
      { env },
    );
    expect(code).toBe(2);
    expect(stderr).toMatch(/^weft: Something that the command needs is missing or wrong\.\n/);
    expect((await run(['status', '--nonsense'])).stderr).toMatch(/^weft: The command line is wrong\.\n/);
  });
});
